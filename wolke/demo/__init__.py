"""``./run demo``: two projects with the same addresses, built with the unmodified ``openstack`` command, proven with packets."""

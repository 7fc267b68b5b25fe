"""Drift: what somebody has changed by hand in OVN or on a host, noticed within seconds, undone, and remembered."""

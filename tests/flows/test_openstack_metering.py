"""The unmodified ``openstack network meter`` commands: labels, rules, and what is refused."""

from __future__ import annotations

import pytest

from tests.flows.conftest import Api

pytestmark = pytest.mark.flows


def test_labels_and_their_rules(api: Api) -> None:
    made = api.shown("network meter create out --description everything --share")
    assert (made["name"], made["description"], made["shared"]) == ("out", "everything", True)
    one = api.shown("network meter rule create out --egress --include --remote-ip-prefix 10.0.0.0/24")
    assert (one["direction"], one["remote_ip_prefix"], one["is_excluded"]) == ("egress", "10.0.0.0/24", False)
    assert "overlaps another" in api.openstack(
        "network meter rule create out --egress --include --remote-ip-prefix 10.0.0.0/8", fails=True
    )
    words = "network meter rule create out --ingress --exclude --source-ip-prefix 192.0.2.0/24 --destination-ip-prefix 10.0.0.7/32"
    two = api.shown(words)
    assert (two["source_ip_prefix"], two["destination_ip_prefix"]) == ("192.0.2.0/24", "10.0.0.7/32")
    assert two["is_excluded"] is True
    listed = {row["ID"]: row for row in api.shown("network meter rule list")}
    assert listed.keys() == {one["id"], two["id"]}
    assert api.shown(f"network meter rule show {two['id']}")["metering_label_id"] == made["id"]
    assert [row["Name"] for row in api.shown("network meter list")] == ["out"]
    assert api.shown("network meter show out")["id"] == made["id"]
    api.openstack(f"network meter rule delete {one['id']}")
    api.openstack("network meter delete out")
    assert api.shown("network meter list") == [] == api.shown("network meter rule list")

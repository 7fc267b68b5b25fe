"""Segments: the first of each network, and further numbers of the overlay."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cloud
from tests.network.conftest import Net


def test_each_network_has_its_first_segment(cloud: Cloud, net: Net) -> None:
    network = net.network()
    wire = net.create(
        "network", by=cloud.admin, name="wire",
        **{"provider:network_type": "vlan", "provider:physical_network": "public", "provider:segmentation_id": 77},
    )  # fmt: skip
    [first] = net.list("segments", f"network_id={network['id']}", by=cloud.admin)
    shown = net.show("network", network["id"], by=cloud.admin)
    assert (first["network_type"], first["segmentation_id"]) == ("geneve", shown["provider:segmentation_id"])
    assert (first["physical_network"], first["name"]) == (None, None)
    [second] = net.list("segments", "physical_network=public", by=cloud.admin)
    assert (second["network_id"], second["network_type"], second["segmentation_id"]) == (wire["id"], "vlan", 77)
    net.refused("DELETE", f"segments/{first['id']}", 409, "SegmentInUse", by=cloud.admin)
    net.delete("network", network["id"])
    net.refused("GET", f"segments/{first['id']}", 404, "SegmentNotFound", by=cloud.admin)
    net.refused("GET", "segments", 403, "PolicyNotAuthorized")


def test_a_further_segment_is_a_number_that_nobody_else_gets(cloud: Cloud, net: Net) -> None:
    network = net.network()
    made = net.create(
        "segment", by=cloud.admin, name="more", description="x", network_id=network["id"], network_type="geneve"
    )
    assert made["segmentation_id"] not in {
        one["segmentation_id"] for one in net.list("segments", by=cloud.admin) if one["id"] != made["id"]
    }
    taken = {"provider:network_type": "geneve", "provider:segmentation_id": made["segmentation_id"]}
    net.refused("POST", "networks", 409, "TunnelIdInUse", by=cloud.admin, json={"network": {"name": "x", **taken}})
    after = net.show("network", net.network()["id"], by=cloud.admin)
    assert after["provider:segmentation_id"] != made["segmentation_id"]
    changed = net.update("segment", made["id"], by=cloud.admin, name=None, description="y")
    assert (changed["name"], changed["description"], changed["revision_number"]) == (
        None,
        "y",
        made["revision_number"] + 1,
    )
    stale = cloud.client("admin", **{"If-Match": "revision_number=1"})
    net.refused(
        "PUT", f"segments/{made['id']}", 412, "RevisionNumberConstraintFailed", by=stale, json={"segment": {"name": "z"}}
    )  # fmt: skip
    net.delete("segment", made["id"], by=cloud.admin)
    assert len(net.list("segments", f"network_id={network['id']}", by=cloud.admin)) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"network_type": "vlan", "physical_network": "public", "segmentation_id": 5}, 400),
        ({"network_type": "geneve", "physical_network": "public"}, 400),
        ({"network_type": "geneve", "segmentation_id": 0}, 400),
        ({"network_type": "geneve", "network_id": "nowhere"}, 404),
        ({}, 400),
    ],
)
def test_a_segment_that_cannot_be(cloud: Cloud, net: Net, body: Any, status: int) -> None:
    network = net.network()
    answer = net.send("POST", "segments", by=cloud.admin, json={"segment": {"network_id": network["id"], **body}})
    assert answer.status_code == status, answer.text
    assert len(net.list("segments", by=cloud.admin)) == 1

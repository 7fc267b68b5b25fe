"""The unmodified ``openstack`` command on what a port may have: QoS, trunks, names, pairs, DHCP options."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.flows.conftest import BIN, Api

pytestmark = [pytest.mark.flows, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", autouse=True)
def network(api: Api) -> Iterator[None]:
    api.openstack("network create cards")
    api.openstack("subnet create cards4 --network cards --subnet-range 10.77.0.0/24")
    yield
    api.openstack("network delete cards")


def rules(api: Api) -> dict[str, dict[str, Any]]:
    return {row["Type"]: row for row in api.shown("network qos rule list gold")}


def test_qos(api: Api) -> None:
    types = api.shown("network qos rule type list")
    assert {row["Type"] for row in types} == {"bandwidth_limit", "dscp_marking", "packet_rate_limit"}
    assert "max_burst_kbps" in str(api.shown("network qos rule type show bandwidth_limit"))
    assert api.shown("network qos policy create gold --share")["shared"] is True
    api.openstack("network qos rule create gold --type bandwidth-limit --max-kbps 5000 --max-burst-kbits 4000 --egress")
    api.openstack("network qos rule create gold --type dscp-marking --dscp-mark 26")
    limit = rules(api)["bandwidth_limit"]["ID"]
    api.openstack(f"network qos rule set gold {limit} --max-kbps 6000")
    assert api.shown(f"network qos rule show gold {limit}")["max_kbps"] == 6000
    assert "409" in api.openstack("network qos rule create gold --type dscp-marking --dscp-mark 10", fails=True)
    assert "400" in api.openstack(
        "network qos rule set gold", rules(api)["dscp_marking"]["ID"], "--dscp-mark", "27", fails=True
    )
    policy = api.shown("network qos policy show gold")["id"]
    assert api.shown("port create held --network cards --qos-policy gold")["qos_policy_id"] == policy
    assert "is used by port" in api.openstack("network qos policy delete gold", fails=True)
    api.openstack("port unset --qos-policy held")
    api.openstack("network set --qos-policy gold cards")
    shown = api.shown("port show held")
    assert (shown["qos_policy_id"], shown["qos_network_policy_id"]) == (None, policy)
    api.openstack("network set --no-qos-policy cards")
    api.openstack("port delete held")
    api.openstack(f"network qos rule delete gold {limit}")
    api.openstack("network qos policy set --no-share --default gold")
    assert api.shown("network qos policy show gold")["is_default"] is True
    api.openstack("network qos policy delete gold")
    assert api.shown("network qos policy list") == []


# The command has no words for a new packet rate, the SDK below it has
PACKET_RATE = """
import openstack
network = openstack.connect().network
made = network.create_qos_packet_rate_limit_rule("POLICY", max_kpps=1, max_burst_kpps=1, direction="ingress")
made = network.update_qos_packet_rate_limit_rule(made, "POLICY", max_kpps=2)
assert [one.id for one in network.qos_packet_rate_limit_rules("POLICY")] == [made.id] and network.find_extension("qos-pps")
print(made.max_kpps, made.max_burst_kpps, made.direction)
"""


def test_packet_rates(api: Api) -> None:
    id = api.shown("network qos policy create gold")["id"]
    words = [str(BIN / "python"), "-c", PACKET_RATE.replace("POLICY", id)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=api.environment(), timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, ["2", "1", "ingress"]), done.stderr
    assert "max_burst_kpps" in str(api.shown("network qos rule type show packet_rate_limit"))
    rate = rules(api)["packet_rate_limit"]["ID"]
    assert api.shown(f"network qos rule show gold {rate}")["max_kpps"] == 2
    api.openstack(f"network qos rule delete gold {rate}")
    api.openstack("network qos policy delete gold")


def test_trunks(api: Api) -> None:
    for name in ("parent", "one", "two"):
        api.openstack(f"port create {name} --network cards")
    sub = "port={},segmentation-type=vlan,segmentation-id={}"
    api.openstack("network trunk create uplink --parent-port parent --subport", sub.format("one", 100))
    api.openstack("network trunk set uplink --description up --subport", sub.format("two", 200))
    listed = api.shown("network subport list --trunk uplink")
    assert {row["Segmentation ID"] for row in listed} == {100, 200}
    assert "409" in api.openstack("port delete one", fails=True)
    api.openstack("network trunk unset --subport one uplink")
    shown = api.shown("network trunk show uplink")
    assert (shown["description"], len(shown["sub_ports"]), shown["status"]) == ("up", 1, "DOWN")
    assert api.shown("port show parent")["trunk_details"]["trunk_id"] == shown["id"]
    api.openstack("network trunk set --disable uplink")
    assert "409" in api.openstack("network trunk delete uplink", fails=True)
    api.openstack("network trunk set --enable uplink")
    api.openstack("network trunk delete uplink")
    api.openstack("port delete parent one two")


def test_what_a_port_may_have(api: Api) -> None:
    made = api.shown(
        "port create card --network cards --dns-name web --extra-dhcp-option name=mtu,value=1300,ip-version=4"
    )
    assert made["dns_assignment"][0]["fqdn"] == "web.cloud.internal."
    api.openstack("port set card --dns-domain example.org. --data-plane-status ACTIVE")
    api.openstack("port set card --allowed-address ip-address=10.77.9.0/24,mac-address=fa:16:3e:00:00:77")
    shown = api.shown("port show card")
    assert shown["dns_assignment"][0]["fqdn"] == "web.example.org."
    assert shown["allowed_address_pairs"] == [{"ip_address": "10.77.9.0/24", "mac_address": "fa:16:3e:00:00:77"}]
    assert (shown["data_plane_status"], shown["extra_dhcp_opts"][0]["opt_value"]) == ("ACTIVE", "1300")
    refused = api.openstack("port set card --extra-dhcp-option name=colour,value=red,ip-version=4", fails=True)
    assert "opt_name 'colour' is unknown" in refused and "bootfile-name" in refused
    assert "not a FQDN" in api.openstack("network set cards --dns-domain no.dot", fails=True)
    api.openstack("port set card --no-allowed-address --no-security-group --disable-port-security")
    api.openstack("port unset card --data-plane-status")
    assert api.shown("port show card")["data_plane_status"] is None
    api.openstack("port delete card")

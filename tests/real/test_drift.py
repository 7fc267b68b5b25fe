"""What somebody changes by hand in OVN or in a host's Open vSwitch: packets, how soon it is undone, and what the operator reads of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.real.tenants import Tenant, pings
from wolke.lab import Lab, LabError, wait_for
from wolke.lab.cloud import LOOPS_METRICS_PORT
from wolke.lab.furnish import administrator

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
UUID = re.compile(r"^[0-9a-f-]{36} ")
SECONDS = 30  # on a busy machine; the figures are printed


class Scene:
    """Two guests of one network on two hosts, one of which may be pinged."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.tenant, self.api = lab, Tenant(lab, "drift"), administrator(lab)
        network = self.tenant.network("10.0.0.0/24")
        self.group = self.tenant.group({"protocol": "icmp"})
        self.asks, self.answers = (self.tenant.server(network, host, self.group) for host in (1, 2))
        assert wait_for(self.reaches, SECONDS)

    def reaches(self) -> bool:
        return pings(self.asks.guest, self.answers.address())

    def records(self, since: float) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.get("/wolke/v1/drift")["drift"]
        return [one for one in found if seconds(one["noticed_at"]) >= since - 1]


def seconds(moment: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(moment).timestamp()


@pytest.fixture(scope="module")
def scene(lab: Lab) -> Iterator[Scene]:
    made = Scene(lab)
    yield made
    made.tenant.end()


def nbctl(*words: str) -> Callable[[Scene], object]:
    return lambda scene: scene.lab.ovn_nbctl(*(word.format(**about(scene)) for word in words))


def on_host(*words: str) -> Callable[[Scene], object]:
    return lambda scene: scene.lab.host(2).run([word.format(**about(scene)) for word in words])


def about(scene: Scene) -> dict[str, str]:
    return {
        "port": scene.answers.port["id"],
        "group": f"pg_{scene.group['id'].replace('-', '_')}",
        "network": scene.answers.port["network_id"],
    }


def shown(*words: str) -> Callable[[Scene], str]:
    """What is there, as it was before the hand came; a row that was made again has another uuid."""

    def look(scene: Scene) -> str:
        try:
            return "\n".join(sorted(UUID.sub("", line) for line in str(nbctl(*words)(scene)).splitlines()))
        except LabError as error:  # its switch is gone
            return str(error)

    return look


def switch_settings(scene: Scene) -> str:
    words = ["ovs-vsctl", "--format=json", "get", "open_vswitch", ".", "external_ids"]
    return str(scene.lab.host(2).run(words).stdout)


def flows(scene: Scene) -> str:
    """Those that say where packets go, without counters; their order has no meaning, nor have the numbers of conjunctions and groups
    and the order of DHCP's options, which are all made anew."""
    words = ["ovs-ofctl", "--no-stats", "dump-flows", "br-int"]
    text = re.sub(r"(conj_id=|conjunction\(|group:)\d+", r"\1N", scene.lab.host(2).run(words).stdout)
    lines = re.sub(r"(?<=userdata=)[0-9a-f.]+", lambda found: "".join(sorted(found[0].split("."))), text).splitlines()
    return "\n".join(
        sorted(line.partition("cookie=")[2].partition(", ")[2] or line for line in lines if "actions" in line)
    )


def bridge_ports(scene: Scene) -> str:
    return "\n".join(sorted(scene.lab.host(2).run(["ovs-vsctl", "list-ports", "br-int"]).stdout.split()))


HANDS: dict[str, tuple[Callable[[Scene], object], Callable[[Scene], str], str, str]] = {
    # what is done: (the hand, what is there, place, kind)
    "a port's addresses": (
        nbctl("lsp-set-addresses", "{port}", "unknown"), shown("lsp-get-addresses", "{port}"), "northbound", "differs"),
    "a port is taken off its switch": (nbctl("lsp-del", "{port}"), shown("lsp-list", "{network}"), "northbound", "missing"),
    "a group loses its rules": (nbctl("acl-del", "{group}"), shown("acl-list", "{group}"), "northbound", "missing"),
    "a back door into the drop group": (
        nbctl("acl-add", "pg_drop", "to-lport", "32000", "ip", "allow"), shown("acl-list", "pg_drop"), "northbound", "foreign"),
    "a whole switch": (nbctl("ls-del", "{network}"), shown("lsp-list", "{network}"), "northbound", "missing"),
    "the tunnel's address": (
        on_host("ovs-vsctl", "set", "open_vswitch", ".", "external_ids:ovn-encap-ip=192.0.2.9"), switch_settings, "h2", "setting"),
    "the southbound database": (
        on_host("ovs-vsctl", "remove", "open_vswitch", ".", "external_ids", "ovn-remote"), switch_settings, "h2", "setting"),
    "all flows": (on_host("ovs-ofctl", "del-flows", "br-int"), flows, "h2", "flows"),
    "the flows of one table": (on_host("ovs-ofctl", "del-flows", "br-int", "table=65"), flows, "h2", "flows"),
    "a flow that lets everything through": (
        on_host("ovs-ofctl", "add-flow", "br-int", "table=0,priority=65535,actions=NORMAL"), flows, "h2", "flows"),
    "a port of nobody's": (
        on_host("ovs-vsctl", "add-port", "br-int", "evil0", "--", "set", "interface", "evil0", "type=internal"),
        bridge_ports, "h2", "port"),
}  # fmt: skip


@pytest.mark.parametrize("what", list(HANDS))
def test_it_is_noticed_undone_and_told(scene: Scene, what: str) -> None:
    hand, looks, place, kind = HANDS[what]
    wait_for(lambda: not standing(scene), SECONDS)
    before = calm(lambda: looks(scene))
    began = time.time()
    hand(scene)
    back = wait_for(lambda: looks(scene) == before and told(scene, began, place, kind), SECONDS, every=0.1)
    took = time.time() - began
    assert back, f"{before}\n---\n{looks(scene)}\n{scene.records(began)}"
    assert wait_for(scene.reaches, SECONDS)
    [record] = [one for one in scene.records(began) if (one["place"], one["kind"]) == (place, kind)][:1]
    assert record["details"], record
    print(
        f"{what}: undone after {took:.2f} s; noticed after {seconds(record['noticed_at']) - began:.2f} s; {record['details'][0][:100]}"
    )


def test_all_flows_are_computed_anew_after_a_change_and_that_is_no_drift(scene: Scene) -> None:
    def whole() -> int:
        words = ["ovn-appctl", "-t", "ovn-controller", "inc-engine/show-stats", "flow_output"]
        found = re.search(r"recompute:\s+(\d+)", scene.lab.host(2).run(words).stdout)
        assert found
        return int(found[1])

    before = int(calm(lambda: str(whole())))
    began = time.time()
    scene.tenant.rule(scene.group, protocol="tcp", port_range_min=22, port_range_max=22)
    assert wait_for(lambda: whole() > before, SECONDS)
    calm(lambda: flows(scene))
    assert not [one for one in scene.records(began) if one["kind"] == "flows"]


def told(scene: Scene, since: float, place: str, kind: str) -> bool:
    mine = [one for one in scene.records(since) if (one["place"], one["kind"]) == (place, kind)]
    return bool(mine) and all(one["undone_at"] for one in mine)


def calm(look: Callable[[], str]) -> str:
    """What is there once it changes no more; ovn-controller's flows are taken as right when it has rested for a while, computed
    everything anew, and rested again."""
    last, since = look(), time.monotonic()
    while time.monotonic() < since + 9:
        time.sleep(0.5)
        if (now := look()) != last:
            last, since = now, time.monotonic()
    return last


def standing(scene: Scene) -> list[Any]:
    return list(scene.api.get("/wolke/v1/drift", standing="true")["drift"])


def test_the_loops_metrics_count_it(scene: Scene) -> None:
    words = [
        "python3",
        "-c",
        f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{LOOPS_METRICS_PORT}/metrics').read().decode())",
    ]
    text = scene.lab.control.run(words).stdout
    assert 'wolke_drift_total{kind="foreign",place="northbound"}' in text
    assert wait_for(
        lambda: 'wolke_drift_standing{place="northbound"} 0.0' in scene.lab.control.run(words).stdout, SECONDS
    )
    assert json.dumps(standing(scene)) == "[]"

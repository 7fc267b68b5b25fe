"""Bridges and ports of zones: exactly those that are wanted, and nobody else's touched; by the fake and by ovs-vswitchd."""

from __future__ import annotations

import subprocess

import pytest

from tests.drivers.ovsdb_server import OvsdbServer
from tests.drivers.test_vswitch import Vswitchd, configure, server, switch, vswitchd
from tests.waiting import wait_for
from wolke.drivers.hypervisor import VirtualSwitch
from wolke.drivers.layout import LaidPort, Layout
from wolke.drivers.rows import Refused
from wolke.drivers.vswitch import VirtualSwitch as Real

__all__ = ["server", "switch", "vswitchd"]
OUTER = LaidPort(
    name="outer", bridge="br-ex", zone="z1", type="patch", options={"peer": "inner"}, tag=900, vlan_mode="dot1q-tunnel",
    other_config={"qinq-ethtype": "802.1ad"},
)  # fmt: skip
INNER = LaidPort(name="inner", bridge="wz1", zone="z1", type="patch", options={"peer": "outer"})
QINQ = Layout(bridges={"wz1": "z1"}, ports=(INNER, OUTER))


def tunnel(number: int, key: str) -> LaidPort:
    options = {"local_ip": "127.0.0.1", "remote_ip": f"198.51.100.{number}", "key": key, "dst_port": "4789"}
    return LaidPort(
        name=f"wzv{number}", bridge="wz2", zone="z2", type="vxlan", options=options, tag=number, protected=True
    )


def listed(server: OvsdbServer, *words: str) -> str:
    done = subprocess.run(["ovs-vsctl", f"--db={server.remote}", *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_what_cannot_be_is_refused(switch: VirtualSwitch) -> None:
    configure(switch)
    with pytest.raises(Refused, match="br-ex"):
        switch.lay(QINQ)  # the host has no such bridge
    with pytest.raises(Refused, match="br-int"):
        switch.lay(Layout(bridges={"br-int": "z1"}))
    configure(switch, bridge_mappings={"public": "br-ex"})
    assert switch.lay(QINQ) == {}
    assert switch.lay(QINQ) == {}
    assert switch.lay(Layout()) == {}


def test_a_device_that_is_not_there_is_told(switch: VirtualSwitch) -> None:
    configure(switch)
    missing = LaidPort(name="tap9", bridge="wz1", zone="z1")
    here = LaidPort(name="tap1", bridge="wz1", zone="z1")
    assert set(switch.lay(Layout(bridges={"wz1": "z1"}, ports=(missing, here)))) == {"tap9"}


def test_the_switch_has_what_is_wanted(server: OvsdbServer, vswitchd: Vswitchd) -> None:
    made = Real(server.remote, patience=30, datapath="netdev")
    try:
        configure(made, bridge_mappings={"public": "br-ex"})
        made.add_port("br-int", "tap1", "port-1")
        made.lay(Layout(bridges={"wz1": "z1", "wz2": "z2"}, ports=(INNER, OUTER, tunnel(1, "5000"), tunnel(2, "5000"))))
        assert listed(server, "list-br").split() == ["br-ex", "br-int", "wz1", "wz2"]
        assert listed(server, "list-ports", "wz2").split() == ["wzv1", "wzv2"]
        shown = listed(server, "get", "port", "outer", "tag", "vlan_mode", "other_config", "protected").split("\n")
        assert shown == ["900", "dot1q-tunnel", '{qinq-ethtype="802.1ad"}', "false"]
        assert listed(server, "get", "port", "wzv2", "protected") == "true"
        assert listed(server, "get", "bridge", "wz1", "datapath_type") == "netdev"

        listed(server, "set", "port", "outer", "tag=7", "--", "set", "interface", "inner", "options:peer=nothing")
        listed(server, "del-port", "wzv1", "--", "add-port", "wz2", "mine")  # somebody's own, on our bridge
        wished = Layout(bridges={"wz1": "z1", "wz2": "z2"}, ports=(INNER, OUTER, tunnel(1, "5001")))
        assert wait_for(lambda: {one.name for one in made.unlaid(wished)} >= {"port outer", "port inner", "port wzv1"})
        made.lay(wished)
        assert made.unlaid(wished) == []
        assert listed(server, "get", "port", "outer", "tag") == "900"
        assert listed(server, "get", "interface", "inner", "options") == "{peer=outer}"
        assert listed(server, "list-ports", "wz2").split() == ["mine", "wzv1"]
        assert 'key="5001"' in listed(server, "get", "interface", "wzv1", "options")

        made.lay(Layout(bridges={"wz1": "z1"}, ports=(INNER, LaidPort(name="wzv1", bridge="wz1", zone="z1", tag=3))))
        assert listed(server, "list-br").split() == ["br-ex", "br-int", "wz1"]
        assert listed(server, "list-ports", "wz1").split() == ["inner", "wzv1"]  # from one bridge to another
        assert listed(server, "list-ports", "br-ex") == ""
        made.lay(Layout())
        assert listed(server, "list-br").split() == ["br-ex", "br-int"]
        assert made.ports() == {"tap1": "port-1"}
        with pytest.raises(Refused, match="tap1"):
            made.lay(Layout(ports=(LaidPort(name="tap1", bridge="br-int", zone="z1"),)))
    finally:
        made.close()

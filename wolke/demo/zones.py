"""The zone demo: each type of zone by one call, and what packets say of it. ``./run demo network`` prints it as a table.

The operator declares and grants; the network on the zone is made by a member with the unmodified ``openstack`` command; nothing is
touched on any host. A machine of the site on the same segment is the control of each proof, one beside it shows what does not pass.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from wolke.demo.client import Client
from wolke.demo.proofs import Proof, Proofs
from wolke.lab.furnish import Api, administrator, entry, write_secret
from wolke.lab.guests import Guest
from wolke.lab.lab import Lab
from wolke.lab.site import ADDRESS, SPARE, Machine, Site, frames
from wolke.lab.waiting import wait_for

SECONDS = 60
PROJECT, PASSWORD = "zone-demo", "zone demo"
ZONES: list[dict[str, Any]] = [
    {"name": "demo-flat", "type": "flat", "physical_network": SPARE},
    {
        "name": "demo-vlan", "type": "vlan", "physical_network": "public", "vlan_ranges": [{"minimum": 300, "maximum": 309}],
    },
    {"name": "demo-qinq", "type": "qinq", "physical_network": "public", "outer_tag": 901},
    {"name": "demo-vxlan", "type": "vxlan", "vni_ranges": [{"minimum": 6000, "maximum": 6009}], "peers": [ADDRESS]},
    {
        "name": "demo-evpn", "type": "evpn", "vni_ranges": [{"minimum": 8000, "maximum": 8009}], "asn": 64512, "udp_port": 4790,
        "bgp_peers": [{"address": ADDRESS, "asn": 64600}], "gateway_mac": "00:00:5e:00:01:01", "l3_vni": 8999,
    },
]  # fmt: skip


@dataclass
class Zone:
    """A zone that is in force, a network of a member's on it, and a guest on the first and on the last host."""

    row: dict[str, Any]
    grant: dict[str, Any]
    network: dict[str, Any]
    guests: list[Guest] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    @property
    def number(self) -> int:
        return int(self.network["provider:segmentation_id"] or 0)


class ZoneProver(Proofs):
    """Declares, proves and takes away."""

    def __init__(self, lab: Lab, say: Callable[[str], None]) -> None:
        super().__init__(lab, say)
        self.operator = administrator(lab)
        self.site = Site(lab)
        self.project, self.member, self.client = self._member()
        self.zones: dict[str, Zone] = {}
        self.machines: list[Machine] = []

    def run(self) -> list[Proof]:
        self.clean()
        self.site.up()
        with tempfile.TemporaryDirectory() as scratch:
            try:
                for at, body in enumerate(ZONES):
                    getattr(self, body["type"])(self.declared(body, at), Path(scratch))
                self.rights(self.zones["demo-vlan"])
                self.stretch(self.zones["demo-vlan"])
            finally:
                self.clean()
        return self.proofs

    # Tools ------------------------------------------------------------------------------------------------------------
    def _member(self) -> tuple[dict[str, Any], Api, Client]:
        project = self.operator.member(PROJECT, PASSWORD)
        clouds = self.lab.directory / "zone-demo.yaml"
        write_secret(clouds, yaml.safe_dump({"clouds": {"zone": entry(self.lab.url, PROJECT, PASSWORD, PROJECT)}}))
        return project, Api(self.lab.url, PROJECT, PASSWORD, PROJECT), Client("zone", clouds, self.say)

    def declared(self, body: dict[str, Any], at: int) -> Zone:
        """One call; then a right, a network by the member's ordinary client, and guests."""
        zone = self.operator.call("POST", "/wolke/v1/zones", zone=body)["zone"]
        states: dict[str, str] = {}

        def in_force() -> bool:
            shown = self.operator.call("GET", f"/wolke/v1/zones/{zone['id']}")["zone"]["hosts"]
            states.update({one["host"]: one["state"] for one in shown})
            return len(states) >= len(self.lab.hosts) and set(states.values()) == {"ACTIVE"}

        held = wait_for(in_force, SECONDS, every=0.2)
        told = ", ".join(f"{host} {state}" for host, state in sorted(states.items()))
        self.prove(f"{zone['type']}: one call, every host converges", held, told)
        grant = {"subject_type": "project", "subject_id": self.project["id"], "level": "create"}
        grant = self.operator.call("POST", f"/wolke/v1/zones/{zone['id']}/grants", grant=grant)["grant"]
        words = ["network", "create", zone["name"], "--provider-network-type", NETWORK_TYPES[zone["type"]]]
        self.client(*words, "--provider-physical-network", zone["name"])
        [network] = self.member.get("/network/v2.0/networks", name=zone["name"])["networks"]
        made = self.zones[zone["name"]] = Zone(zone, grant, network)
        self.subnet(network, f"10.{60 + at}.0.0/24")
        for host in dict.fromkeys((1, len(self.lab.hosts))):
            guest, address = self.guest(network, f"10.{60 + at}.0.0/24", host)
            made.guests.append(guest)
            made.addresses.append(address)
        return made

    def subnet(self, network: dict[str, Any], cidr: str) -> None:
        base = cidr.rpartition(".")[0]
        pools = [{"start": f"{base}.10", "end": f"{base}.99"}]
        body = {"network_id": network["id"], "cidr": cidr, "ip_version": 4, "allocation_pools": pools}
        self.member.call("POST", "/network/v2.0/subnets", subnet=body)

    def guest(self, network: dict[str, Any], cidr: str, host: int) -> tuple[Guest, str]:
        """A namespace guest that anybody may ping, and its address."""
        body = {"network_id": network["id"], "port_security_enabled": False}
        port = self.member.call("POST", "/network/v2.0/ports", port=body)["port"]
        address = port["fixed_ips"][0]["ip_address"]
        base, prefix = cidr.rpartition(".")[0], cidr.partition("/")[2]
        names = ["--bare", "--columns=name", "list", "Logical_Switch_Port"]
        wait_for(lambda: port["id"] in self.lab.ovn_nbctl(*names), SECONDS, every=0.1)
        guest = self.lab.host(host).attach(
            port["id"], port["mac_address"], f"{address}/{prefix}", f"{base}.1", mtu=network["mtu"], seconds=SECONDS
        )
        return guest, address

    def machine(self, made: Machine) -> Machine:
        self.machines.append(made)
        return made

    def segment(self, type: str, zone: Zone, machine: Machine, there: str, beside: Machine | None, what: str) -> None:
        """Guests of all hosts and a machine of the site are neighbours; one beside them is not."""
        ways = [(guest, there) for guest in zone.guests] + [(machine, address) for address in zone.addresses]
        ways += [(zone.guests[0], zone.addresses[-1])] if len(zone.guests) > 1 else []
        held = all(wait_for(partial(pings, source, address), SECONDS) for source, address in ways)
        self.prove(f"{type}: guests and the site's machine are neighbours", held, f"{len(ways)} ways, {what}")
        if beside:
            silent = not any(pings(beside, address) for address in zone.addresses)
            self.prove(f"{type}: a machine on another segment hears nothing", silent, "same addresses, no answer")

    # Each type --------------------------------------------------------------------------------------------------------
    def flat(self, zone: Zone, scratch: Path) -> None:
        machine = self.machine(self.site.server("zflat", "10.60.0.200/24", bridge=f"site-{SPARE}"))
        beside = self.machine(self.site.server("zflat2", "10.60.0.201/24"))
        self.segment("flat", zone, machine, "10.60.0.200", beside, f"untagged on {SPARE}")

    def vlan(self, zone: Zone, scratch: Path) -> None:
        machine = self.machine(self.site.server("zvlan", "10.61.0.200/24", vlan=zone.number))
        beside = self.machine(self.site.server("zvlan2", "10.61.0.201/24", vlan=zone.number + 1))
        self.segment("vlan", zone, machine, "10.61.0.200", beside, f"VLAN {zone.number}")

    def qinq(self, zone: Zone, scratch: Path) -> None:
        outer = zone.row["outer_tag"]
        machine = self.machine(self.site.server("zqinq", "10.62.0.200/24", vlan=zone.number, outer=outer, mtu=1492))
        beside = self.machine(self.site.server("zqinq2", "10.62.0.201/24", vlan=zone.number))
        self.segment("qinq", zone, machine, "10.62.0.200", beside, f"VLAN {zone.number} inside of {outer}")
        with frames(self.lab.wires, "p-h1", "vlan", scratch / "frames") as seen:
            pings(zone.guests[0], "10.62.0.200")
            tagged = rf"\(0x88a8\).*vlan {outer}, .*\(0x8100\), vlan {zone.number}, .*ICMP echo request"
            match = wait_for(lambda: re.search(tagged, seen.read_text()), 20)
        shown = f"802.1ad {outer} / 802.1Q {zone.number} on the wire" if match else "no such frame"
        self.prove("qinq: frames bear both tags", bool(match), shown)

    def vxlan(self, zone: Zone, scratch: Path) -> None:
        hosts = [host.address for host in self.lab.hosts]
        machine = self.machine(self.site.vtep("zvxlan", "10.63.0.200/24", zone.number, hosts))
        self.segment("vxlan", zone, machine, "10.63.0.200", None, f"VNI {zone.number}, a foreign VTEP at {ADDRESS}")
        told = zone.guests[0].run(["ping", "-c", "10", "-i", "0.2", "10.63.0.200"], check=False).stdout
        single = "10 received" in told and "duplicates" not in told
        self.prove(
            "vxlan: each packet arrives once", single, "10 of 10, no duplicate" if single else told[-80:].strip()
        )

    def evpn(self, zone: Zone, scratch: Path) -> None:
        machine = self.machine(self.site.behind_leaf("zevpn", "10.64.0.200/24", zone.number, port=zone.row["udp_port"]))
        leaf = self.site.leaf(64600, zone.row["asn"])
        self.segment("evpn", zone, machine, "10.64.0.200", None, f"VNI {zone.number}, a leaf router at {ADDRESS}")
        macs = [self.mac(guest) for guest in zone.guests]
        table = str(leaf.show("show bgp l2vpn evpn route type macip"))
        self.prove("evpn: the leaf learns guests by type 2", all(mac in table for mac in macs), ", ".join(macs))
        gateway = zone.row["gateway_mac"]
        near = [wait_for(partial(pings, guest, "10.64.0.1"), SECONDS) for guest in zone.guests]
        same = all(gateway in guest.run(["ip", "neigh", "show", "10.64.0.1"]).stdout for guest in zone.guests)
        self.prove("evpn: one gateway on every host", all(near) and same, f"10.64.0.1 is {gateway} everywhere")
        prefixes = wait_for(lambda: "10.64.0.0" in str(leaf.show("show bgp l2vpn evpn route type prefix")), SECONDS)
        self.prove("evpn: the leaf learns the prefix by type 5", bool(prefixes), "10.64.0.0/24")

    # Rights and stretches ---------------------------------------------------------------------------------------------
    def rights(self, zone: Zone) -> None:
        url = f"/wolke/v1/zones/{zone.row['id']}/grants"
        revoked = self.operator.call("DELETE", f"{url}/{zone.grant['id']}")["revoked"]
        cut = wait_for(lambda: not pings(zone.guests[0], "10.61.0.200"), SECONDS)
        self.prove("rights: one revoke shuts the ports", cut, f"{len(revoked['ports_shut'])} ports, no answer any more")
        grant = {"subject_type": "project", "subject_id": self.project["id"], "level": "create"}
        zone.grant = self.operator.call("POST", url, grant=grant)["grant"]
        healed = wait_for(lambda: pings(zone.guests[0], "10.61.0.200"), SECONDS)
        self.prove("rights: a grant opens them again", healed, "answers again")

    def stretch(self, zone: Zone) -> None:
        network = self.member.call("POST", "/network/v2.0/networks", network={"name": "demo-stretch"})["network"]
        self.subnet(network, "10.66.0.0/24")
        guest, address = self.guest(network, "10.66.0.0/24", 1)
        machine = self.machine(self.site.server("zstretch", "10.66.0.200/24", vlan=305))
        apart = not pings(guest, "10.66.0.200")
        body = {"network_id": network["id"], "segmentation_id": 305}
        self.member.call("POST", f"/wolke/v1/zones/{zone.row['id']}/stretches", stretch=body)
        joined = wait_for(lambda: pings(guest, "10.66.0.200") and pings(machine, address), SECONDS)
        self.prove(
            "bridging: a project's network and a VLAN are one", apart and joined, f"{address} and a server on VLAN 305"
        )
        zone.guests.append(guest)

    @staticmethod
    def mac(guest: Guest) -> str:
        shown = guest.run(["ip", "-o", "link", "show", "eth0"]).stdout
        match = re.search(r"link/ether (\S+)", shown)
        return match[1] if match else "?"

    # Afterwards -------------------------------------------------------------------------------------------------------
    def clean(self) -> None:
        """Take away what this demo has made, now or in a run that ended early."""
        for machine in self.machines:
            self.site.remove(machine)
        self.machines.clear()
        for zone in self.zones.values():
            for guest in zone.guests:
                guest.detach()
        self.zones.clear()
        for router in self.site.routers.values():
            router.down()
        for kind in ("ports", "networks"):
            for thing in self.member.get(f"/network/v2.0/{kind}", project_id=self.project["id"])[kind]:
                if not thing.get("device_owner"):
                    self.member.call("DELETE", f"/network/v2.0/{kind}/{thing['id']}")
        names = {zone["name"] for zone in ZONES}
        for one in self.operator.get("/wolke/v1/zones")["zones"]:
            if one["name"] in names:
                self.operator.call("DELETE", f"/wolke/v1/zones/{one['id']}")


NETWORK_TYPES = {"flat": "flat", "vlan": "vlan", "qinq": "vlan", "vxlan": "vxlan", "evpn": "vxlan"}


def pings(source: Any, address: str) -> bool:
    return bool(source.run(["ping", "-c", "1", "-W", "1", address], check=False).returncode == 0)


def prove(lab: Lab, say: Callable[[str], None]) -> list[Proof]:
    """The proofs of all types of zones on a lab that is up; leaves nothing behind."""
    return ZoneProver(lab, say).run()

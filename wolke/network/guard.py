"""What no guest may do to its neighbours and to the host, whatever its security groups say. A port whose port security is off is
its project's own appliance: the first part does not bind it.

- A guest is no DHCP server and no router: what only those send is dropped at its port, above security groups. OVN lets router
  advertisements past every ACL (ovn-northd(8), ``nd_ra``), so the host's agent drops those below OVN; it is told which ports may send them.
- Broadcast and multicast of one network's guests on one host are limited, and with them storms of ARP.
- Packets that OVN hands to ovn-controller (DHCP, DNS, neighbours, errors) are limited for each network and each router by itself, so
  that who floods one is alone with it.

OVN:  ovn-nb(5), tables ACL, QoS, Meter and Copp; port security (ovn-nb(5), Logical_Switch_Port) drops forged senders before any of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import event, inspect, select
from sqlalchemy.orm import Session

from wolke.drivers.rows import Ref, Row, Value
from wolke.network import hooks, names
from wolke.network.lane import Site, single
from wolke.network.owners import is_trusted, trusted
from wolke.network.ports.table import Port

ITEM = ("guard", "all")  # kind and id of the work item
ROLE_PRIORITY = 20000  # above security groups (1003 and less), below the doorman (30000)
STORM_PRIORITY = 20000
BAND = "guard"
SERVERS_ONLY = {
    "dhcpv4": "ip4 && udp && udp.src == 67",
    "dhcpv6": "ip6 && udp && udp.src == 547",
    "reroute": "ip6 && icmp6 && icmp6.type == 137",  # ICMPv6 redirect
}
# What of a switch, and of a router, goes to ovn-controller (ovn-nb(5), Copp)
SWITCH_PUNTS = ("dhcpv4-opts", "dhcpv6-opts", "dns", "igmp", "nd-ra-opts", "reject", "tcp-reset", "event-elb")
ROUTER_PUNTS = (
    "arp", "arp-resolve", "nd-na", "nd-ns", "nd-ns-resolve", "nd-ra-opts", "icmp4-error", "icmp6-error", "reject", "tcp-reset",
)  # fmt: skip


def rows(db: Session, ids: Sequence[str], site: Site) -> list[Row]:
    """What all ports with port security share, and the one band of all meters."""
    owner = names.owner(*ITEM)
    group = frozenset({(names.GROUP, names.DROP_GROUP, "acls")})
    made = []
    for name, match in SERVERS_ONLY.items():
        columns: dict[str, Value] = {
            "direction": "from-lport", "priority": ROLE_PRIORITY, "match": f"inport == @{names.DROP_GROUP} && {match}", "action": "drop",
        }  # fmt: skip
        made.append(Row("ACL", f"guard-{name}", owner, columns, group))
    if rate := site.config.punts_per_second:
        made.append(Row("Meter_Band", BAND, owner, {"action": "drop", "rate": rate, "burst_size": rate}))
        made.append(meter(BAND, owner))
    return made


def of_switch(network_id: str, owner: str, site: Site) -> tuple[dict[str, Value], list[Row]]:
    """Columns of a network's switch, and rows beside it."""
    columns, made = punts(network_id, owner, site, SWITCH_PUNTS)
    if rate := site.config.storm_kbit:
        storm: dict[str, Value] = {
            "direction": "from-lport",
            "priority": STORM_PRIORITY,
            "match": f"inport == @{names.DROP_GROUP} && eth.mcast",
            "bandwidth": {"rate": rate, "burst": rate},
        }
        made.append(
            Row("QoS", f"storm-{network_id}", owner, storm, frozenset({(names.SWITCH, network_id, "qos_rules")}))
        )
    return columns, made


def of_router(router_id: str, owner: str, site: Site) -> tuple[dict[str, Value], list[Row]]:
    return punts(router_id, owner, site, ROUTER_PUNTS)


def punts(id: str, owner: str, site: Site, protocols: Sequence[str]) -> tuple[dict[str, Value], list[Row]]:
    """One meter for all that one switch or router hands to ovn-controller on one host."""
    if not site.config.punts_per_second or not site.has("Copp", "name"):
        return {}, []
    name = f"guard-{id}"
    policy = Row("Copp", name, owner, {"name": name, "meters": dict.fromkeys(protocols, name)})
    return {"copp": Ref("Copp", name)}, [meter(name, owner), policy]


def meter(name: str, owner: str) -> Row:
    return Row("Meter", name, owner, {"name": name, "unit": "pktps", "bands": frozenset({Ref("Meter_Band", BAND)})})


single(*ITEM, rows)


# Router advertisements ------------------------------------------------------------------------------------------------
def routing_ports(db: Session) -> tuple[str, ...]:
    """Ports of guests that may advertise routers."""
    query = select(Port.id).where(Port.port_security_enabled.is_(False), ~trusted(Port.device_owner))
    return tuple(db.scalars(query.order_by(Port.id)))


@event.listens_for(Session, "before_flush")
def _tell_hosts(session: Session, _context: Any, _instances: Any) -> None:
    """Every host knows all of them: there are few, and a port's host is not always known."""
    for thing in (*session.new, *session.dirty):
        if isinstance(thing, Port) and not is_trusted(thing.device_owner):
            secure = inspect(thing).attrs.port_security_enabled.history
            if (thing in session.dirty and secure.has_changes()) or (
                thing in session.new and not thing.port_security_enabled
            ):
                hooks.tell_hosts(session)
                return

"""What the model answers: yes or no, the way, what decided, and a sentence a person understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wolke.network.reachability.picture import Packet
from wolke.network.security_groups.protocols import ICMP, NAMES

# What decides, by the name that the API shows
ALLOWED_BY_RULE = "security_group_rule"
NO_RULE = "security_group"  # none of a port's groups allows it
CONNTRACK = "conversation"  # an answer to what nobody has seen begin
DOORMAN = "doorman_rule"
ROUTE = "route"
GATEWAY = "gateway"
NAT = "nat"
PORT_SECURITY = "port_security"
ADDRESS_PAIR = "address_pair"
FLOATING_IP = "floating_ip"
ADMIN_DOWN = "admin_state_down"
PORT_DOWN = "port_down"
NO_PATH = "no_path"
ADDRESS_SCOPE = "address_scope"
ROUTER_ITSELF = "router"
OPEN = "open"  # nothing stands in the way: no group, no policy
KINDS = (
    ALLOWED_BY_RULE, NO_RULE, CONNTRACK, DOORMAN, ROUTE, GATEWAY, NAT, PORT_SECURITY, ADDRESS_PAIR, FLOATING_IP, ADMIN_DOWN, PORT_DOWN,
    NO_PATH, ADDRESS_SCOPE, ROUTER_ITSELF, OPEN,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Thing:
    """Something of the API, or the internet. ``type`` as the API names it: port, router, security_group_rule..."""

    type: str
    id: str = ""
    name: str = ""
    project_id: str = ""

    def __str__(self) -> str:
        words = self.type.replace("_", " ")
        if not self.id:
            return f"the {words}"
        return f"{words} {self.name} ({self.id})" if self.name else f"{words} {self.id}"


def thing(type: str, of: Any) -> Thing:
    """The name plate of anything in a picture."""
    return Thing(type, of.id, getattr(of, "name", ""), getattr(of, "project_id", ""))


INTERNET = Thing("internet")


@dataclass(frozen=True, slots=True)
class Decision:
    """What decided. ``thing`` has the id to change, ``at`` is where it did; ``why`` says it without a full stop."""

    kind: str
    thing: Thing
    why: str
    at: Thing | None = None
    direction: str = ""  # ingress | egress, of groups and the doorman


@dataclass(frozen=True, slots=True)
class Hop:
    """One place on the way, and the packet as it left there."""

    at: Thing
    did: str
    packet: Packet
    rule: Decision | None = None  # that let it pass
    by: Thing | None = None  # what has rewritten it


@dataclass(frozen=True, slots=True)
class Verdict:
    reachable: bool
    decision: Decision
    there: tuple[Hop, ...]
    back: tuple[Hop, ...] = ()
    sentence: str = ""
    asked: Packet | None = None
    stopped: Packet | None = None  # as it was where it got no further
    target: Thing | None = None
    way: str = "there"  # there | back: where it was decided


class Blocked(Exception):
    """The packet goes no further."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.why)
        self.decision = decision


def blocked(kind: str, of: Thing, why: str, at: Thing | None = None, direction: str = "") -> Blocked:
    return Blocked(Decision(kind, of, why, at, direction))


def traffic(packet: Packet) -> str:
    """``tcp/80``, ``icmp type 8``, ``protocol 112``."""
    name = NAMES.get(packet.protocol, f"protocol {packet.protocol}")
    if packet.protocol in ICMP:
        return f"{name} type {packet.icmp_type}"
    return f"{name}/{packet.port}" if packet.port else name

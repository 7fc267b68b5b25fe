"""A question in the words of people (can this server reach that address?) as packets, and the verdict that answers it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

from wolke.network.doorman.policy import ICMP, ICMPV6
from wolke.network.reachability.outside import is_private
from wolke.network.reachability.picture import Ip, Packet, Picture, Port
from wolke.network.reachability.verdict import FLOATING_IP, NO_PATH, Decision, Thing, Verdict, thing, traffic
from wolke.network.reachability.walk import verdict

# Somebody out there: addresses of the benchmarking ranges (RFC 2544, RFC 5180), which no network has
ANYBODY: dict[int, Ip] = {4: ip_address("198.18.0.1"), 6: ip_address("2001:2::1")}
A_PORT = 40000  # that conversations begin from, where none is given


@dataclass(frozen=True, slots=True)
class End:
    """One side of a question: ports (of a server, or one), a floating IP, an address, or the world outside."""

    port_ids: tuple[str, ...] = ()
    floating_id: str = ""
    address: Ip | None = None
    outside: bool = False
    mac: str = ""  # of the sender, where it is not the port's


@dataclass(frozen=True, slots=True)
class Question:
    source: End
    target: End
    protocol: int
    port: int = 0
    source_port: int = A_PORT
    icmp_type: int | None = None
    icmp_code: int = 0
    version: int = 0  # 0: whichever both have


@dataclass(frozen=True, slots=True)
class Try:
    """One way to ask: to which address and port, and which port has to get it ("" for whoever does)."""

    address: Ip
    port: int
    expected: str = ""


def answered(picture: Picture, question: Question) -> Verdict:
    """The first yes of all addresses that both sides have; else the no of the first."""
    first: Verdict | None = None
    for version in (question.version,) if question.version else (4, 6):
        for source, address in senders(picture, question.source, version):
            for one in tries(picture, question, version, source is None):
                found = judged(picture, question, source, address, one)
                if found.reachable:
                    return found
                first = first or found
    return first or nothing_to_ask(picture, question)


def senders(picture: Picture, end: End, version: int) -> Iterator[tuple[Port | None, Ip]]:
    """Ports that may begin the conversation, with the address they do it from; None for the world outside."""
    if end.floating_id:
        one = picture.floating[end.floating_id]
        if one.port_id and one.fixed and one.fixed.version == version:
            yield picture.ports[one.port_id], one.fixed
        return
    for id in end.port_ids:
        port = picture.ports[id]
        address = end.address or port.address(version)
        if address and address.version == version:
            yield port, address
    if not end.port_ids and (end.outside or end.address):
        address = end.address or ANYBODY[version]
        if address.version == version:
            yield None, address


def tries(picture: Picture, question: Question, version: int, outside: bool) -> Iterator[Try]:
    end = question.target
    if end.floating_id:
        address = picture.floating[end.floating_id].address
        if address.version == version:
            yield Try(address, question.port)
    elif end.port_ids:
        for id in end.port_ids:
            yield from tries_of_port(picture, picture.ports[id], question, version, outside)
    else:
        address = end.address or ANYBODY[version]
        if address.version == version:
            yield Try(address, question.port)


def tries_of_port(picture: Picture, port: Port, question: Question, version: int, outside: bool) -> Iterator[Try]:
    """Its own addresses, then those that lead to it from outside. The world has no way to private addresses."""
    wanted = question.target.address
    for ip, _ in port.addresses:
        if ip.version == version and wanted in (None, ip) and not (outside and is_private(ip)):
            yield Try(ip, question.port, port.id)
    if wanted is not None and not port.has(wanted):
        if wanted.version == version:
            yield Try(wanted, question.port, port.id)
        return
    for one in picture.floating.values():
        if one.address.version != version or wanted is not None:
            continue
        if one.port_id == port.id:
            yield Try(one.address, question.port, port.id)
        for forwarding in picture.forwardings_of.get(one.id, ()):
            mine = forwarding.port_id == port.id and forwarding.protocol == question.protocol
            if mine and (outer := forwarding.from_outside(question.port)):
                yield Try(one.address, outer, port.id)


def packet_of(question: Question, source: Ip, target: Try) -> Packet:
    protocol, kind = question.protocol, question.icmp_type
    if protocol in (ICMP, ICMPV6):
        protocol = ICMP if source.version == 4 else ICMPV6
        kind = kind if kind is not None else {ICMP: 8, ICMPV6: 128}[protocol]
    return Packet(
        source, target.address, protocol, question.source_port, target.port, icmp_type=kind or 0, icmp_code=question.icmp_code
    )  # fmt: skip


def judged(picture: Picture, question: Question, source: Port | None, address: Ip, target: Try) -> Verdict:
    packet = packet_of(question, address, target)
    found = verdict(picture, source, packet, question.source.mac)
    if found.reachable and target.expected and found.target and found.target.id != target.expected:
        wanted = thing("port", picture.ports[target.expected])
        why = f"{traffic(packet)} to {packet.destination} ends at {found.target} and not at {wanted}"
        return replace(found, reachable=False, decision=Decision(NO_PATH, wanted, why), sentence=f"No: {why}.")
    return found


def nothing_to_ask(picture: Picture, question: Question) -> Verdict:
    """No packet could be made of the question: one side has no address that goes with the other's."""
    source, target = question.source, question.target
    versions = f"IPv{question.version}" if question.version else "any version of IP"
    if target.port_ids and not source.port_ids and not source.floating_id:
        port = thing("port", picture.ports[target.port_ids[0]])
        why = (
            f"{port} has no floating IP, no port forwarding for this and no address that the world outside has a way to"
        )
        return no(Decision(FLOATING_IP, port, why, port))
    for end in (source, target):
        for id in end.port_ids:
            if not question.version and any(picture.ports[id].address(version) for version in (4, 6)):
                continue
            if not question.version or not picture.ports[id].address(question.version):
                port = thing("port", picture.ports[id])
                return no(Decision(NO_PATH, port, f"{port} has no address of {versions}", port))
        if end.floating_id and not picture.floating[end.floating_id].port_id:
            one = picture.floating[end.floating_id]
            plate = Thing("floatingip", one.id, str(one.address), one.project_id)
            return no(Decision(FLOATING_IP, plate, f"{plate} leads nowhere: it is associated with no port"))
    why = "the two sides have no addresses of the same version of IP"
    return no(Decision(NO_PATH, Thing("internet"), why))


def no(decision: Decision) -> Verdict:
    return Verdict(False, decision, (), (), f"No: {decision.why}.")

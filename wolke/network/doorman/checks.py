"""What a rule of the doorman may say: bodies become values as they are kept, or an error that names the field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wolke.core.errors import BadRequest
from wolke.core.paging import whole_number
from wolke.network.addresses import ip_network
from wolke.network.doorman.policy import NEIGHBOURS
from wolke.network.doorman.spans import holds
from wolke.network.security_groups.protocols import ICMP, NUMBERS, ONLY_IPV6, WITH_PORTS, number

MOST_PREFIXES = 10_000


def refuse(field: str, why: str) -> BadRequest:
    return BadRequest(f"Invalid input for doorman_rule.{field}: {why}")


def protocol_of(given: str | int | None, ethertype: str | None) -> str | None:
    """The protocol as it is kept: a name in lower case or a number from 0 to 255; None for any."""
    if given is None or str(given).lower() in ("", "any"):
        return None
    text = str(given).lower()
    value = whole_number(text) if text.isdecimal() else NUMBERS.get(text)
    if value is None or value > 255:
        raise refuse("protocol", f"'{given}' is not a number from 0 to 255 or one of {', '.join(sorted(NUMBERS))}")
    if value in ONLY_IPV6 and ethertype == "IPv4":
        raise refuse("protocol", f"'{text}' exists with IPv6 only")
    return text


def check_ports(rule: Any) -> None:
    """Raises BadRequest where ports, or ICMP's type and code, do not go with the protocol."""
    low, high = rule.port_range_min, rule.port_range_max
    first, last = rule.source_port_range_min, rule.source_port_range_max
    named = {
        "port_range_min": low, "port_range_max": high, "source_port_range_min": first, "source_port_range_max": last,
    }  # fmt: skip
    given = [name for name, value in named.items() if value is not None]
    if not given:
        return
    if rule.protocol is None:
        raise refuse(given[0], "ports need a protocol")
    value = number(rule.protocol, rule.ethertype or "IPv4")
    if value in ICMP:
        check_icmp(rule)
        return
    if value not in WITH_PORTS:
        known = ", ".join(WITH_PORTS.values())
        raise refuse(given[0], f"protocol {rule.protocol} has no ports here; use one of {known}")
    for name, port in named.items():
        if port is not None and not 1 <= port <= 65535:
            raise refuse(name, f"{port} is not a port from 1 to 65535")
    for lower, upper, one, two in ((low, high, *list(named)[:2]), (first, last, *list(named)[2:])):
        if (lower is None) != (upper is None):
            raise refuse(one if lower is None else two, f"{one} and {two} are given together")
        if lower is not None and lower > upper:
            raise refuse(one, f"{lower} is greater than {two} ({upper})")


def check_icmp(rule: Any) -> None:
    type, code = rule.port_range_min, rule.port_range_max
    if rule.source_port_range_min is not None or rule.source_port_range_max is not None:
        raise refuse("source_port_range_min", "ICMP has none; its type is port_range_min, its code port_range_max")
    if type is None:
        raise refuse("port_range_min", "an ICMP code (port_range_max) needs a type")
    for name, given in (("port_range_min", type), ("port_range_max", code)):
        if given is not None and not 0 <= given <= 255:
            raise refuse(name, f"{given} is not an ICMP type or code from 0 to 255")
    if rule.ethertype is None:
        raise refuse("ethertype", "ICMP types mean other things in IPv4 and IPv6: give one of IPv4, IPv6")
    if rule.ethertype == "IPv6" and holds(NEIGHBOURS, type):
        raise refuse("port_range_min", f"type {type} holds links together and is never matched")


def prefixes_of(field: str, given: Sequence[str], ethertype: str | None) -> list[str]:
    """CIDRs without host bits, sorted, each once. Raises BadRequest: not one, or of another IP version than the rule."""
    if len(given) > MOST_PREFIXES:
        raise refuse(field, f"more than {MOST_PREFIXES} prefixes")
    found = set()
    for text in given:
        try:
            network = ip_network(text, strict=False)
        except ValueError as error:
            raise refuse(field, f"'{text}' is not a prefix such as 198.51.100.0/24 or 2001:db8::/32") from error
        if ethertype and f"IPv{network.version}" != ethertype:
            raise refuse(field, f"'{text}' does not go with ethertype {ethertype}")
        found.add(network)
    return [str(one) for one in sorted(found, key=lambda one: (one.version, one))]


def check_sides(remote: Sequence[str], local: Sequence[str]) -> None:
    """Raises BadRequest: the two sides have no IP version in common, so that nothing could match."""
    versions = [{":" in prefix for prefix in prefixes} for prefixes in (remote, local)]
    if all(versions) and not versions[0] & versions[1]:
        raise refuse("local_ip_prefixes", "no IP version is in both remote_ip_prefixes and local_ip_prefixes")


def notes_of(rule: Any) -> list[str]:
    """What whoever makes a rule should know of it: sentences, none where it does just what it says."""
    if rule.action != "deny":
        return []
    found = []
    value = None if rule.protocol is None else number(rule.protocol, rule.ethertype or "IPv4")
    low = rule.port_range_min
    if value in (None, 17, 132) and (low is None or rule.port_range_max >= 512):
        found.append(
            "UDP and SCTP packets do not show who began: answers to what the other side asked are denied as well, where their port is in"
            " this rule. Let them pass by an earlier rule with their source port, such as udp source port 53."
        )
    if value in (None, 6) and (low is None or rule.port_range_max >= 512):
        found.append("TCP connections to ports from 512 on that are under way go on; new ones are denied.")
    return found

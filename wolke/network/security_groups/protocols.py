"""IP protocols as security group rules spell them.

Names: https://docs.openstack.org/api-ref/network/v2/#create-security-group-rule; numbers: IANA's protocol-numbers registry
"""

from __future__ import annotations

NUMBERS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "icmpv6": 58, "igmp": 2, "ip": 0, "ipip": 4,
    "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43, "ospf": 89,
    "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
WITH_PORTS = {6: "tcp", 17: "udp", 132: "sctp"}  # whose ports the data plane can tell
ICMP = (1, 58)
NAMES = {1: "icmp", 58: "icmpv6", **WITH_PORTS}  # as our own API shows them; others by their number
ONLY_IPV6 = frozenset({41, 43, 44, 58, 59, 60})
# ICMP type of a question -> of its answer
ANSWERS = {"IPv4": {8: 0, 10: 9, 13: 14, 15: 16, 17: 18}, "IPv6": {128: 129, 139: 140}}
# what tells of errors of a conversation: unreachable or too big, time exceeded, parameter problem
ERRORS = {"IPv4": (3, 11, 12), "IPv6": (1, 2, 3, 4)}


def number(protocol: str, ethertype: str) -> int:
    """The protocol's number; ``icmp`` means ICMPv6 on IPv6.

    >>> number("tcp", "IPv4"), number("icmp", "IPv6"), number("112", "IPv4")
    (6, 58, 112)
    """
    value = int(protocol) if protocol.isdecimal() else NUMBERS[protocol]
    return 58 if value == 1 and ethertype == "IPv6" else value


def shown(protocol: int) -> str:
    """A protocol as our own API shows it.

    >>> shown(6), shown(112)
    ('tcp', '112')
    """
    return NAMES.get(protocol, str(protocol))

"""IP protocols as security group rules spell them.

Names: https://docs.openstack.org/api-ref/network/v2/#create-security-group-rule; numbers: IANA's protocol-numbers registry
"""

from __future__ import annotations

NUMBERS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "icmpv6": 58, "igmp": 2, "ip": 0, "ipip": 4,
    "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43, "ospf": 89,
    "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
WITH_PORTS = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 136: "udplite"}
ICMP = (1, 58)
ONLY_IPV6 = ("icmpv6", "ipv6-encap", "ipv6-frag", "ipv6-icmp", "ipv6-nonxt", "ipv6-opts", "ipv6-route")


def number(protocol: str, ethertype: str) -> int:
    """The protocol's number; ``icmp`` means ICMPv6 on IPv6.

    >>> number("tcp", "IPv4"), number("icmp", "IPv6"), number("112", "IPv4")
    (6, 58, 112)
    """
    value = int(protocol) if protocol.isdecimal() else NUMBERS[protocol]
    return 58 if value == 1 and ethertype == "IPv6" else value

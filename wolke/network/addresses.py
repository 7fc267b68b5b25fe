"""Addresses and prefixes as a caller spells them: Python's ``ipaddress``, but no zones.

Behind an IPv6 address may stand a zone (``fe80::1%eth0``, RFC 4007, section 11). It means something on one host alone; Python takes any
text there and keeps it, and what is kept becomes part of rows and flows. What we have written ourselves is read with ``ipaddress``.
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network


def ip_address(text: str) -> IPv4Address | IPv6Address:
    """Raises ValueError: it is no address, or has a zone."""
    return ipaddress.ip_address(unzoned(text))


def ip_network(text: str, strict: bool = True) -> IPv4Network | IPv6Network:
    """Raises ValueError: it is no prefix, or has a zone."""
    return ipaddress.ip_network(unzoned(text), strict=strict)


def ip_interface(text: str) -> IPv4Interface | IPv6Interface:
    """Raises ValueError: it is no address with a prefix, or has a zone."""
    return ipaddress.ip_interface(unzoned(text))


def unzoned(text: str) -> str:
    if "%" in text:
        raise ValueError(f"'{text}' has a zone")
    return text

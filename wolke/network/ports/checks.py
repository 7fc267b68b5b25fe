"""What a port may be given: each function takes what was sent and gives what is kept, or refuses it by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

from msgspec import UnsetType

from wolke.core.errors import BadRequest
from wolke.network import errors
from wolke.network.ports.bodies import DhcpOption, Fixed, Pair
from wolke.network.ports.make import Wanted
from wolke.network.subnets.checks import address

MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
MAX_PAIRS = 10


def mac_of(text: str) -> str:
    """Raises BadRequest: no unicast MAC address."""
    mac = text.lower().replace("-", ":")
    if not MAC.fullmatch(mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise BadRequest(f"Invalid input for mac_address. Reason: '{text}' is not a valid MAC address.")
    return mac


def wanted_of(fixed: Sequence[Fixed]) -> list[Wanted]:
    found: list[Wanted] = []
    for one in fixed:
        if not one.subnet_id and not one.ip_address:
            raise errors.InvalidInput("IP allocation requires subnet_id or ip_address")
        ip = str(address(one.ip_address, "fixed_ips")) if one.ip_address else ""
        if ip and any(other.ip_address == ip for other in found):
            raise BadRequest(f"Invalid input for fixed_ips. Reason: Duplicate IP address '{ip}'.")
        found.append(Wanted(one.subnet_id, ip))
    return found


def pairs_of(pairs: Sequence[Pair] | UnsetType | None, own_mac: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for pair in pairs or ():
        try:
            net = ip_network(pair.ip_address, strict=False)
        except ValueError as error:
            raise BadRequest(
                f"Invalid input for allowed_address_pairs. Reason: '{pair.ip_address}' is not a valid IP address or CIDR."
            ) from error
        ip = str(net) if "/" in pair.ip_address else str(net.network_address)
        one = {"ip_address": ip, "mac_address": mac_of(pair.mac_address) if pair.mac_address else own_mac}
        if one in found:
            raise errors.DuplicateAddressPairInRequest(
                f"Request contains duplicate address pair: mac_address {one['mac_address']} ip_address {ip}."
            )
        found.append(one)
    if len(found) > MAX_PAIRS:
        raise errors.AllowedAddressPairExhausted(f"The number of allowed address pair exceeds the maximum {MAX_PAIRS}.")
    return found


def options_of(options: Sequence[DhcpOption] | None) -> list[dict[str, Any]]:
    return [
        {"opt_name": option.opt_name, "opt_value": option.opt_value, "ip_version": option.ip_version}
        for option in options or ()
        if option.opt_value is not None
    ]


def dns_name_of(text: str) -> str:
    if text and not NAME.fullmatch(text):
        raise BadRequest(
            f"Invalid input for dns_name. Reason: '{text}' not a valid PQDN or FQDN. Reason: Must be letters, digits and"
            " hyphens, at most 63 characters."
        )
    return text.lower()

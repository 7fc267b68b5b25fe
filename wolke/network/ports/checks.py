"""What a port may be given: each function takes what was sent and gives what is kept, or refuses it by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from wolke.core.errors import BadRequest
from wolke.network import errors
from wolke.network.addresses import ip_network
from wolke.network.ports import dhcp
from wolke.network.ports.bodies import DhcpOption, Fixed, Pair
from wolke.network.ports.make import Wanted
from wolke.network.subnets.checks import address

MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
MAX_PAIRS = 10
VNIC_TYPES = ("normal",)


def mac_of(text: str, field: str = "mac_address") -> str:
    """Raises BadRequest: no unicast MAC address."""
    mac = text.lower().replace("-", ":")
    if not MAC.fullmatch(mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise BadRequest(f"Invalid input for {field}. Reason: '{text}' is not a valid MAC address.")
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
        if net.is_multicast:
            raise BadRequest(
                f"Invalid input for allowed_address_pairs. Reason: '{pair.ip_address}' is multicast: nobody sends from there."
            )
        ip = str(net) if "/" in pair.ip_address else str(net.network_address)
        one = {
            "ip_address": ip,
            "mac_address": mac_of(pair.mac_address, "allowed_address_pairs") if pair.mac_address else own_mac,
        }
        if one in found:
            raise errors.DuplicateAddressPairInRequest(
                f"Request contains duplicate address pair: mac_address {one['mac_address']} ip_address {ip}."
            )
        found.append(one)
    if len(found) > MAX_PAIRS:
        raise errors.AllowedAddressPairExhausted(f"The number of allowed address pair exceeds the maximum {MAX_PAIRS}.")
    return found


def options_of(options: Sequence[DhcpOption] | None) -> list[dict[str, Any]]:
    """Raises BadRequest: OVN knows no such option, or not with this value."""
    found = []
    for option in options or ():
        if option.opt_value is None:
            continue
        try:
            dhcp.check(option.opt_name, option.opt_value, option.ip_version)
        except ValueError as error:
            raise BadRequest(f"Invalid input for extra_dhcp_opts. Reason: {error}.") from error
        found.append({"opt_name": option.opt_name, "opt_value": option.opt_value, "ip_version": option.ip_version})
    return found


def vnic_type_of(text: str) -> str:
    """Raises BadRequest: no host has cards of this kind."""
    if text not in VNIC_TYPES:
        raise BadRequest(
            f"Invalid input for binding:vnic_type. Reason: '{text}' is not one of {', '.join(VNIC_TYPES)}."
        )
    return text


def check_pairs(pairs: Sequence[object] | UnsetType | None, secure: bool) -> None:
    """Pairs are exceptions of port security, so a port without it has none. Raises AddressPairAndPortSecurityRequired."""
    if pairs and not secure:
        raise errors.AddressPairAndPortSecurityRequired(
            "Port Security must be enabled in order to have allowed address pairs on a port."
        )


def learning_of(wanted: bool | UnsetType | None, secure: bool) -> bool | None:
    """Whether a port learns what MACs are behind it. Raises MacLearningNeedsNoPortSecurity."""
    if wanted and secure:
        raise errors.MacLearningNeedsNoPortSecurity(
            "mac_learning_enabled: MACs are learnt only on a port whose port_security_enabled is false."
        )
    return None if wanted is UNSET else wanted

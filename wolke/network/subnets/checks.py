"""What a subnet may look like, and what follows from it: pure functions on addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import pairwise
from typing import Any

from wolke.core.errors import BadRequest
from wolke.network import errors
from wolke.network.addresses import ip_address, ip_network

Address = IPv4Address | IPv6Address
Net = IPv4Network | IPv6Network
Pool = dict[str, str]  # start, end
MODES = ("slaac", "dhcpv6-stateful", "dhcpv6-stateless")
MAX_NAMESERVERS, MAX_ROUTES = 5, 20
METADATA = ip_network("169.254.169.254/32")


def address(text: Any, name: str) -> Address:
    """Raises BadRequest, naming the field."""
    try:
        return ip_address(text)
    except ValueError as error:
        raise BadRequest(f"Invalid input for {name}. Reason: '{text}' is not a valid IP address.") from error


def network_of(text: str, name: str = "cidr") -> Net:
    """A CIDR as Neutron takes it: without host bits. Raises BadRequest, naming the field."""
    try:
        found = ip_network(text, strict=False)
    except ValueError as error:
        raise BadRequest(f"Invalid input for {name}. Reason: '{text}' is not a valid IP subnet.") from error
    if "/" not in text or found != _strict(text):
        raise BadRequest(
            f"Invalid input for {name}. Reason: '{text}' isn't a recognized IP subnet cidr, '{found}' is recommended."
        )
    return found


def _strict(text: str) -> Net | None:
    try:
        return ip_network(text)
    except ValueError:
        return None


def same_version(version: int, text: str, name: str) -> Address | Net:
    """Raises InvalidInput: ``text`` is of the other IP version."""
    try:
        found: Address | Net = ip_network(text, strict=False) if "/" in text else ip_address(text)
    except ValueError as error:
        raise errors.InvalidInput(f"{name} '{text}' is not a valid IP address") from error
    if found.version != version:
        raise errors.InvalidInput(f"{name} '{text}' does not match the ip_version '{version}'")
    return found


def check_cidr(net: Net, others: Iterable[str], network_id: str, *, dhcp: bool) -> None:
    """Raises InvalidInput: no place for DHCP, or an overlap with another subnet of the network."""
    if net.prefixlen == 0:
        raise errors.InvalidInput("0 is not allowed as CIDR prefix length")
    if net.version == 6 and net.network_address == IPv6Address("::"):
        raise errors.InvalidInput("IPv6 subnet '::' is not supported")
    if dhcp:
        check_dhcp(net)
    for other in map(ip_network, others):
        if other.version == net.version and net.overlaps(other):
            raise errors.InvalidInput(
                f"Requested subnet with cidr: {net} for network: {network_id} overlaps with another subnet"
            )


def check_dhcp(net: Net) -> None:
    if net.prefixlen > (30 if net.version == 4 else 126):
        raise errors.InvalidInput("Subnet has a prefix length that is incompatible with DHCP service enabled")
    if net.is_multicast:
        raise errors.InvalidInput("Multicast IP subnet is not supported if enable_dhcp is True")
    if net.is_loopback:
        raise errors.InvalidInput("Loopback IP subnet is not supported if enable_dhcp is True")
    if net.version == 4 and int(net.network_address) == 0:
        raise errors.InvalidInput("First IP '0.0.0.0' of network is not supported if enable_dhcp is True")


def check_gateway(net: Net, text: str) -> str:
    gateway = same_version(net.version, text, "gateway_ip")
    edge = gateway in (net.network_address, net.broadcast_address)
    if isinstance(net, IPv4Network) and net.prefixlen < 31 and edge:
        raise errors.InvalidInput("Gateway is not valid on subnet")
    return str(gateway)


def check_nameservers(version: int, servers: Sequence[str]) -> list[str]:
    if len(servers) > MAX_NAMESERVERS:
        raise errors.DNSNameServersExhausted(
            f"Unable to complete operation for the subnet. The number of DNS nameservers exceeds the limit {MAX_NAMESERVERS}."
        )
    if len(set(servers)) != len(servers):
        raise BadRequest("Invalid input for dns_nameservers. Reason: Duplicate nameserver.")
    for server in servers:
        address(server, "dns_nameservers")
    return [str(same_version(version, server, "dns_nameserver")) for server in servers]


def check_routes(version: int, routes: Sequence[Any]) -> list[Pool]:
    """Routes as they are kept: ``{"destination", "nexthop"}``."""
    if len(routes) > MAX_ROUTES:
        raise errors.HostRoutesExhausted(
            f"Unable to complete operation for the subnet. The number of host routes exceeds the limit {MAX_ROUTES}."
        )
    found = []
    for route in routes:
        destination = network_of(route.destination, "host_routes")
        nexthop = address(route.nexthop, "host_routes")
        same_version(version, str(destination), "destination")
        same_version(version, str(nexthop), "nexthop")
        found.append({"destination": str(destination), "nexthop": str(nexthop)})
    if len({tuple(route.values()) for route in found}) != len(found):
        raise BadRequest("Invalid input for host_routes. Reason: Duplicate hostroute.")
    return found


def check_modes(net: Net, ra: str | None, addressing: str | None, *, dhcp: bool) -> None:
    for name, mode in (("ipv6_ra_mode", ra), ("ipv6_address_mode", addressing)):
        if mode is not None and mode not in MODES:
            raise BadRequest(f"Invalid input for {name}. Reason: '{mode}' is not in {list(MODES)}.")
        if mode is not None and net.version == 4:
            raise errors.InvalidInput(f"{name} is not valid when ip_version is 4")
    if (ra or addressing) and not dhcp:
        raise errors.InvalidInput("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
    if ra and addressing and ra != addressing:
        raise errors.InvalidInput(
            f"ipv6_ra_mode set to '{ra}' with ipv6_address_mode set to '{addressing}' is not valid. "
            "If both attributes are set, they must be the same value"
        )
    if addressing in ("slaac", "dhcpv6-stateless") and net.prefixlen != 64:
        raise errors.InvalidInput(
            f"Invalid CIDR {net} for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the"
            " prefix to be /64"
        )


def hosts(net: Net) -> tuple[int, int]:
    """First and last address that a port may have."""
    first, last = int(net.network_address), int(net.broadcast_address)
    if net.version == 6:
        return first + (net.prefixlen < 128), last
    return (first + 1, last - 1) if net.prefixlen <= 30 else (first, last)


def default_gateway(net: Net) -> str:
    first, last = hosts(net)
    return str(_address(min(first, last), net.version))


def _address(number: int, version: int) -> Address:
    return IPv4Address(number) if version == 4 else IPv6Address(number)


def default_pools(net: Net, gateway: str | None) -> list[Pool]:
    """All addresses of the subnet but the gateway's.

    >>> default_pools(ip_network("10.0.0.0/29"), "10.0.0.2")
    [{'start': '10.0.0.1', 'end': '10.0.0.1'}, {'start': '10.0.0.3', 'end': '10.0.0.6'}]
    """
    first, last = hosts(net)
    spans = [(first, last)]
    if gateway and first <= int(ip_address(gateway)) <= last and ip_address(gateway).version == net.version:
        number = int(ip_address(gateway))
        spans = [span for span in ((first, number - 1), (number + 1, last)) if span[0] <= span[1]]
    return [{"start": str(_address(a, net.version)), "end": str(_address(b, net.version))} for a, b in spans]


def check_pools(net: Net, pools: Sequence[Any]) -> list[Pool]:
    """Pools as they are kept, ascending.

    Raises
    ------
    BadRequest: no address; InvalidAllocationPool: of the other version, or its end is before its start;
    OutOfBoundsAllocationPool: outside of the subnet; OverlappingAllocationPools
    """
    first, last = hosts(net)
    spans = []
    for pool in pools:
        start, end = address(pool.start, "allocation_pools"), address(pool.end, "allocation_pools")
        if start.version != net.version or end.version != net.version or int(end) < int(start):
            raise errors.InvalidAllocationPool(f"The allocation pool {pool.start}-{pool.end} is not valid.")
        if int(start) < first or int(end) > last:
            raise errors.OutOfBoundsAllocationPool(
                f"The allocation pool {pool.start}-{pool.end} spans beyond the subnet cidr {net}."
            )
        spans.append((int(start), int(end)))
    spans.sort()
    for (a, b), (c, d) in pairwise(spans):
        if c <= b:
            texts = [f"{_address(x, net.version)}-{_address(y, net.version)}" for x, y in ((a, b), (c, d))]
            raise errors.OverlappingAllocationPools(
                f"Found overlapping allocation pools: {texts[0]} {texts[1]} for subnet {net}."
            )
    return [{"start": str(_address(a, net.version)), "end": str(_address(b, net.version))} for a, b in spans]


def check_gateway_outside(gateway: str | None, pools: Sequence[Pool]) -> None:
    """Raises GatewayConflictWithAllocationPools."""
    for pool in pools if gateway else ():
        if int(ip_address(pool["start"])) <= int(ip_address(gateway or "")) <= int(ip_address(pool["end"])):
            raise errors.GatewayConflictWithAllocationPools(
                f"Gateway ip {gateway} conflicts with allocation pool {pool['start']}-{pool['end']}."
            )


def is_auto(subnet: Any) -> bool:
    """Whether ports make their own addresses on this subnet, from the prefix and their MAC (RFC 4862)."""
    return subnet.ipv6_address_mode in ("slaac", "dhcpv6-stateless")


def eui64(cidr: str, mac: str) -> str:
    """The address that a card makes itself on a /64.

    >>> eui64("2001:db8::/64", "fa:16:3e:00:00:01")
    '2001:db8::f816:3eff:fe00:1'
    """
    parts = [int(part, 16) for part in mac.split(":")]
    identifier = bytes([parts[0] ^ 2, *parts[1:3], 0xFF, 0xFE, *parts[3:]])
    return str(IPv6Address(int(ip_network(cidr).network_address) + int.from_bytes(identifier, "big")))

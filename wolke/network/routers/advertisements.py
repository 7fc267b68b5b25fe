"""Router advertisements: how servers on a router's leg come by IPv6 addresses, MTU and name servers (RFC 4861, 8106).

OVN:  Logical_Router_Port, ipv6_ra_configs (ovn-nb(5)). A router that is asked (router solicitation) tells prefixes, flags and MTU at once;
the name server and the search list stand in what it sends by itself, so it does that once a minute.
"""

from __future__ import annotations

from wolke.core.config import Config
from wolke.network import dns
from wolke.network.routers.legs import Leg
from wolke.network.subnets.rows import nameservers

MODES = {"slaac": "slaac", "dhcpv6-stateful": "dhcpv6_stateful", "dhcpv6-stateless": "dhcpv6_stateless"}
SECONDS = {"min_interval": "20", "max_interval": "60"}


def advertisement(leg: Leg, config: Config) -> dict[str, str]:
    """What a leg advertises, in OVN's words; empty where no subnet of it wants that.

    One mode holds for all prefixes of a leg: that of its first subnet. A router that stands beside the gateway of another project's network
    is nobody's way out but its own's: servers take whoever advertises for their router.
    """
    own = leg.port.project_id == leg.network.project_id
    told = [
        subnet
        for address, subnet in leg.addresses
        if subnet.ip_version == 6 and subnet.ipv6_ra_mode and (own or address == subnet.gateway_ip)
    ]
    if not told:
        return {}
    options = {
        "address_mode": MODES[told[0].ipv6_ra_mode],
        "send_periodic": "true",
        "mtu": str(leg.network.mtu),
        **SECONDS,
    }
    if servers := [server for subnet in told for server in nameservers(subnet, config)]:
        options["rdnss"] = servers[0]  # OVN tells of one
    if domain := dns.domain("", leg.network.dns_domain, config.dns_domain):
        options["dnssl"] = domain
    return options

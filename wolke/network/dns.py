"""Names of ports as OVN answers them inside a network: what they may be, and the domain that they stand in.

API:  https://docs.openstack.org/api-ref/network/v2/#dns-integration
OVN:  ovn-nb(5), table DNS; RFC 952 and RFC 1123 for the names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address

from wolke.core.errors import BadRequest

LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
LONGEST = 255


def _check(text: str, field: str, longest: int) -> None:
    labels = text.removesuffix(".").split(".")
    reason = ""
    if len(text.removesuffix(".")) > longest:
        reason = f"it is longer than {longest} characters"
    elif not all(LABEL.fullmatch(label) for label in labels):
        reason = "each part must be letters, digits and hyphens, at most 63 characters, and begin and end with a letter or a digit"
    elif len(labels) > 1 and labels[-1].isdigit():
        reason = f"TLD '{labels[-1]}' must not be all numeric"
    if reason:
        raise BadRequest(f"Invalid input for {field}. Reason: '{text}' not a valid PQDN or FQDN. Reason: {reason}.")


def domain_of(text: str) -> str:
    """A ``dns_domain`` as it is kept: lower case, with the dot at its end; "" for none. Raises BadRequest."""
    if not text:
        return ""
    if not text.endswith("."):
        raise BadRequest(f"Invalid input for dns_domain. Reason: '{text}' is not a FQDN: it must end with a dot.")
    _check(text, "dns_domain", LONGEST - 2)
    return text.lower()


def name_of(text: str, domain: str) -> str:
    """A ``dns_name`` as it is kept: in lower case, below ``domain``, without it. Raises BadRequest."""
    if not text:
        return ""
    _check(text, "dns_name", LONGEST)
    name = text.lower()
    if name.endswith("."):
        bare = name.removesuffix(".").removesuffix(f".{domain.rstrip('.')}")
        if bare == name.removesuffix("."):
            raise BadRequest(
                f"Invalid input for dns_name. Reason: '{text}' is a FQDN and does not end with the domain '{domain}'."
            )
        name = bare
    if len(name) + 1 + len(domain) > LONGEST:
        raise BadRequest(f"Invalid input for dns_name. Reason: '{text}' is too long before the domain '{domain}'.")
    return name


def domain(port: str, network: str, cloud: str) -> str:
    """The domain that a port's name stands in, without a dot at its end: its own, else its network's, else the cloud's.

    >>> domain("", "red.example.", "cloud.internal")
    'red.example'
    """
    return (port or network or cloud).rstrip(".")


def hostname(name: str, ip: str) -> str:
    """
    >>> hostname("", "10.0.0.5")
    'host-10-0-0-5'
    """
    return name or "host-" + ip.replace(".", "-").replace(":", "-")


def records(name: str, below: str, addresses: Sequence[str], *, guest: bool = False) -> dict[str, str]:
    """Names to addresses and back. ``guest`` : the port is on another project's network, whose servers are all answered so: a name with
    dots stands below the network's domain only, or it could be anybody's in the world.

    >>> records("web", "red.example", ["10.0.0.5"])
    {'web': '10.0.0.5', 'web.red.example': '10.0.0.5', '5.0.0.10.in-addr.arpa': 'web.red.example'}
    """
    full = f"{name}.{below}"
    back = {ip_address(ip).reverse_pointer: full for ip in addresses}
    names = [full] if guest and "." in name else [name, full]
    return {**dict.fromkeys(names, " ".join(addresses)), **back}

"""What a port may tell its guest beside its subnet's options: Neutron's ``extra_dhcp_opts`` in OVN's words.

A value becomes part of a logical flow, so each is read as what it is to be and written anew; what cannot be read is refused.

Names: dnsmasq's (``dnsmasq --help dhcp``) or the option's number, as Neutron takes them. OVN: ovn-nb(5), table DHCP_Options.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from wolke.network.addresses import ip_address, ip_network

DISABLED = "dhcp_disabled"  # no option but a wish: nobody answers this port
TEXT = re.compile(r"[\w.,:/@%+=~*?&#;!()\[\] -]{1,255}", re.ASCII)
LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")

Reader = Callable[[str, int], str]  # text as it was sent, IP version -> as OVN takes it; raises ValueError


# How a value is read -------------------------------------------------------------------------------------------------
def braced(values: list[str]) -> str:
    return values[0] if len(values) == 1 else f"{{{', '.join(values)}}}"


def parts(text: str) -> list[str]:
    return [part.strip() for part in text.strip().removeprefix("{").removesuffix("}").split(",")]


def address(text: str, version: int) -> str:
    found = ip_address(text.strip())
    if found.version != version:
        raise ValueError(f"an IPv{version} address")
    return str(found)


def addresses(text: str, version: int) -> str:
    """
    >>> addresses("10.0.0.1,10.0.0.2", 4)
    '{10.0.0.1, 10.0.0.2}'
    """
    return braced([address(part, version) for part in parts(text)])


def routes(text: str, version: int) -> str:
    """
    >>> routes("10.1.0.0/16,10.0.0.9", 4)
    '{10.1.0.0/16,10.0.0.9}'
    """
    words = parts(text)
    if len(words) % 2:
        raise ValueError("pairs of destination and next hop")
    pairs = zip(words[::2], words[1::2], strict=True)
    return f"{{{', '.join(f'{ip_network(to)},{address(via, version)}' for to, via in pairs)}}}"


def flag(text: str, version: int) -> str:
    found = {"0": "0", "1": "1", "false": "0", "true": "1"}.get(text.strip().lower())
    if found is None:
        raise ValueError("0 or 1")
    return found


def number(low: int, high: int) -> Reader:
    def read(text: str, version: int) -> str:
        if not text.strip().isascii() or not text.strip().isdigit() or not low <= int(text) <= high:
            raise ValueError(f"a number from {low} to {high}")
        return str(int(text))

    return read


def words(text: str, version: int) -> str:
    """
    >>> words("pxelinux.0", 4)
    '"pxelinux.0"'
    """
    bare = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if not TEXT.fullmatch(bare):
        raise ValueError("1 to 255 letters, digits and . , : / @ % + = ~ * ? & # ; ! ( ) [ ] - or spaces")
    return f'"{bare}"'


def domains(text: str, version: int) -> str:
    names = [part.strip('"').rstrip(".") for part in parts(text)]
    if not all(LABEL.fullmatch(label) for name in names for label in name.split(".")):
        raise ValueError("domain names, separated by commas")
    return f'"{",".join(names)}"'


def host(text: str, version: int) -> str:
    try:
        return address(text, version)
    except ValueError:
        return words(text, version)


def boot_server(text: str, version: int) -> str:
    """Of the other version: clients write one down for either; DHCPv4 has no words for it, so it stays unsaid.

    >>> boot_server("10.0.0.9", 4), boot_server("2001:db8::9", 4)
    ('10.0.0.9', '')
    """
    found = ip_address(text.strip())
    return str(found) if found.version == version else ""


byte, seconds = number(0, 255), number(68, 2**32 - 1)

# IP version -> names and number of an option, OVN's name, how its value is read
_OPTIONS: dict[int, list[tuple[str, str, Reader]]] = {
    4: [
        ("netmask 1", "netmask", address),
        ("router 3", "router", addresses),
        ("dns-server 6", "dns_server", addresses),
        ("log-server 7", "log_server", addresses),
        ("lpr-server 9", "lpr_server", addresses),
        ("hostname 12", "hostname", words),
        ("domain-name 15", "domain_name", words),
        ("swap-server 16", "swap_server", addresses),
        ("ip-forward-enable 19", "ip_forward_enable", flag),
        ("policy-filter 21", "policy_filter", addresses),
        ("default-ttl 23", "default_ttl", byte),
        ("mtu 26", "mtu", number(68, 65535)),
        ("broadcast 28", "broadcast_address", address),
        ("router-discovery 31", "router_discovery", flag),
        ("router-solicitation 32", "router_solicitation", addresses),
        ("arp-timeout 35", "arp_cache_timeout", byte),
        ("ethernet-encap 36", "ethernet_encap", flag),
        ("tcp-ttl 37", "tcp_ttl", byte),
        ("tcp-keepalive 38", "tcp_keepalive_interval", byte),
        ("nis-server 41", "nis_server", addresses),
        ("ntp-server 42", "ntp_server", addresses),
        ("netbios-ns 44", "netbios_name_server", addresses),
        ("netbios-nodetype 46", "netbios_node_type", byte),
        ("lease-time 51", "lease_time", number(1, 2**32 - 1)),
        ("server-id 54", "server_id", address),
        ("T1 58", "T1", seconds),
        ("T2 59", "T2", seconds),
        ("tftp-server 66", "tftp_server", host),
        ("bootfile-name 67", "bootfile_name", words),
        ("bootfile-name-alt", "bootfile_name_alt", words),
        ("domain-search 119", "domain_search_list", domains),
        ("classless-static-route 121", "classless_static_route", routes),
        ("tftp-server-address 150", "tftp_server_address", addresses),
        ("path-prefix 210", "path_prefix", words),
        ("ms-classless-static-route 249", "ms_classless_static_route", routes),
        ("wpad 252", "wpad", words),
        ("server-ip-address 255", "next_server", boot_server),
    ],
    6: [
        ("dns-server 23", "dns_server", addresses),
        ("domain-search 24", "domain_search", domains),
    ],
}
OPTIONS: Mapping[int, Mapping[str, tuple[str, Reader]]] = {
    version: {spelt: (ovn, read) for names, ovn, read in options for spelt in names.split()}
    for version, options in _OPTIONS.items()
}


def check(name: str, value: str, version: int) -> None:
    """Raises ValueError, saying which names or values there are."""
    if name not in (DISABLED, *OPTIONS[version]):
        known = ", ".join(spelt for spelt in OPTIONS[version] if not spelt.isdigit())
        raise ValueError(f"opt_name '{name}' is unknown for ip_version {version}: use one of {known}, {DISABLED}")
    try:
        (flag if name == DISABLED else OPTIONS[version][name][1])(value, version)
    except ValueError as error:
        raise ValueError(f"opt_value '{value}' of {name} is not {error}") from error


def is_disabled(extra: Mapping[str, str]) -> bool:
    return DISABLED in extra and flag(extra[DISABLED], 4) == "1"


def in_ovn(extra: Mapping[str, str], version: int) -> dict[str, str]:
    """Checked options as OVN takes them.

    >>> in_ovn({"mtu": "1300", "6": "10.0.0.1"}, 4)
    {'mtu': '1300', 'dns_server': '10.0.0.1'}
    """
    found = {}
    for name, value in extra.items():
        if name in OPTIONS[version]:
            ovn, read = OPTIONS[version][name]
            if said := read(value, version):
                found[ovn] = said
    return found

"""What the calls on zones take, and what goes together: every wrong value is answered with its field and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from itertools import pairwise
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from wolke.core.bodies import Body, Text255, given
from wolke.core.config import Config
from wolke.network.zones.errors import InvalidZone

Type = Literal["flat", "vlan", "qinq", "vxlan", "evpn"]
Mtu = Annotated[int, Meta(ge=0, le=65535)]
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
TARGET = re.compile(r"(\d{1,10}):(\d{1,10})")
VXLAN_BYTES = 50  # outer Ethernet, IPv4, UDP and VXLAN headers (RFC 7348, section 5)
TAG_BYTES = 4  # of one VLAN tag (IEEE 802.1Q)
VXLAN_PORT = 4789  # RFC 7348, section 5
LARGEST_VLAN, LARGEST_VNI, LARGEST_ASN = 4094, 2**24 - 1, 2**32 - 1
MOST_RANGES, MOST_PEERS = 64, 256

# What each type takes beside name, description and mtu, and what of it must be given
FIELDS: Mapping[str, tuple[str, ...]] = {
    "flat": ("physical_network",),
    "vlan": ("physical_network", "vlan_ranges"),
    "qinq": ("physical_network", "outer_tag", "vlan_ranges"),
    "vxlan": ("vni_ranges", "udp_port", "peers"),
    "evpn": ("vni_ranges", "udp_port", "asn", "bgp_peers", "gateway_mac", "route_targets", "l3_vni"),
}
NEEDED: Mapping[str, tuple[str, ...]] = {
    "flat": ("physical_network",),
    "vlan": ("physical_network", "vlan_ranges"),
    "qinq": ("physical_network", "outer_tag"),
    "vxlan": ("vni_ranges",),
    "evpn": ("vni_ranges", "asn"),
}
PLAIN = ("name", "description", "type", "mtu")


class Range(Body):
    minimum: int
    maximum: int


class BgpPeer(Body):
    address: Text255
    asn: int | UnsetType = UNSET  # the zone's own
    route_reflector: bool = False  # our hosts speak with it and no more with each other


class Update(Body):
    """A field that is not given stays as it is."""

    name: Text255 | UnsetType = UNSET
    description: Text255 | UnsetType = UNSET
    mtu: Mtu | UnsetType = UNSET  # 0: as large as what is under the zone allows
    physical_network: Text255 | UnsetType = UNSET
    vlan_ranges: list[Range] | UnsetType = UNSET
    outer_tag: int | UnsetType = UNSET
    vni_ranges: list[Range] | UnsetType = UNSET
    udp_port: int | UnsetType = UNSET
    peers: list[Text255] | UnsetType = UNSET
    asn: int | UnsetType = UNSET
    bgp_peers: list[BgpPeer] | UnsetType = UNSET
    gateway_mac: Text255 | UnsetType = UNSET
    route_targets: list[Text255] | UnsetType = UNSET
    l3_vni: int | UnsetType = UNSET


class Create(Update, kw_only=True):
    name: Text255
    type: Type


# From body to columns ------------------------------------------------------------------------------------------------
def columns(body: Update, type: str, config: Config) -> dict[str, Any]:
    """What a body says, as columns of the table. Raises InvalidZone: names the field and what is allowed."""
    asked = given(body)
    for field in asked:
        if field not in PLAIN and field not in FIELDS[type]:
            raise InvalidZone(field, f"a zone of type {type} takes {', '.join(FIELDS[type])}")
    made: dict[str, Any] = {"description": asked["description"]} if "description" in asked else {}
    for field, value in asked.items():
        if field in READ:
            made[COLUMNS.get(field, field)] = READ[field](field, value)
    if "physical_network" in made and made["physical_network"] not in config.physical_networks:
        known = ", ".join(sorted(config.physical_networks)) or "none"
        raise InvalidZone("physical_network", f"'{made['physical_network']}' is unknown; this site has: {known}")
    return made


def needed(type: str, body: Update) -> None:
    """Raises InvalidZone: a field without which a zone of the type cannot be."""
    for field in NEEDED[type]:
        if getattr(body, field) is UNSET:
            raise InvalidZone(field, f"required for a zone of type {type}")


def name_of(field: str, name: str) -> str:
    if not NAME.fullmatch(name):
        raise InvalidZone(field, f"'{name}' is not 1 to 31 small letters, digits and dashes, beginning with a letter")
    return name


def ranges_of(field: str, ranges: Sequence[Range]) -> list[dict[str, int]]:
    largest = LARGEST_VLAN if field == "vlan_ranges" else LARGEST_VNI
    if not 1 <= len(ranges) <= MOST_RANGES:
        raise InvalidZone(field, f"give 1 to {MOST_RANGES} ranges")
    for one in ranges:
        if not 1 <= one.minimum <= one.maximum <= largest:
            raise InvalidZone(
                field, f"{one.minimum} to {one.maximum} is not a range of 1 to {largest} (minimum, maximum)"
            )
    sorted_ranges = sorted(ranges, key=lambda one: one.minimum)
    for before, after in pairwise(sorted_ranges):
        if after.minimum <= before.maximum:
            raise InvalidZone(field, f"two ranges hold {after.minimum}")
    return [{"minimum": one.minimum, "maximum": one.maximum} for one in sorted_ranges]


def within(least: int, most: int) -> Any:
    """A reader of whole numbers of a range."""

    def read(field: str, value: int) -> int:
        if not least <= value <= most:
            raise InvalidZone(field, f"{value} is not one of {least} to {most}")
        return value

    return read


def unicast(field: str, text: str) -> str:
    """An IPv4 address that one machine can have."""
    try:
        found = IPv4Address(text)
    except ValueError as error:
        raise InvalidZone(field, f"'{text}' is not an IPv4 address") from error
    if found.is_multicast or found.is_unspecified or found.is_loopback or found == IPv4Address("255.255.255.255"):
        raise InvalidZone(field, f"'{text}' is not the address of one machine")
    return str(found)


def peers_of(field: str, peers: Sequence[str]) -> list[str]:
    found = [unicast(field, one) for one in peers]
    if len(found) > MOST_PEERS:
        raise InvalidZone(field, f"at most {MOST_PEERS}")
    if len(set(found)) < len(found):
        raise InvalidZone(field, "an address is given twice")
    return sorted(found)


def bgp_peers_of(field: str, peers: Sequence[BgpPeer]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for peer in peers:
        asn = 0 if peer.asn is UNSET else within(1, LARGEST_ASN)(f"{field}.asn", peer.asn)  # 0: the zone's own
        one = {
            "address": unicast(f"{field}.address", peer.address),
            "asn": asn,
            "route_reflector": peer.route_reflector,
        }
        if any(other["address"] == one["address"] for other in found):
            raise InvalidZone(f"{field}.address", f"{one['address']} is given twice")
        found.append(one)
    if len(found) > MOST_PEERS:
        raise InvalidZone(field, f"at most {MOST_PEERS}")
    return found


def mac_of(field: str, text: str) -> str:
    """A unicast MAC address; "" for none."""
    mac = text.lower().replace("-", ":")
    if mac and (not MAC.fullmatch(mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00"):
        raise InvalidZone(field, f"'{text}' is not a unicast MAC address, such as 00:00:5e:00:01:01")
    return mac


def targets_of(field: str, targets: Sequence[str]) -> list[str]:
    for one in targets:
        match = TARGET.fullmatch(one)
        # RFC 4360, 5668: two bytes and four, or four and two
        if not match or not (
            (int(match[1]) < 2**16 and int(match[2]) < 2**32) or (int(match[1]) < 2**32 and int(match[2]) < 2**16)
        ):
            raise InvalidZone(field, f"'{one}' is not ASN:NUMBER, such as 64512:100")
    if len(set(targets)) < len(targets):
        raise InvalidZone(field, "a route target is given twice")
    return list(targets)


READ: Mapping[str, Any] = {
    "name": name_of,
    "physical_network": lambda field, value: value,
    "vlan_ranges": ranges_of,
    "vni_ranges": ranges_of,
    "outer_tag": within(1, LARGEST_VLAN),
    "udp_port": within(1, 65535),
    "peers": peers_of,
    "asn": within(1, LARGEST_ASN),
    "bgp_peers": bgp_peers_of,
    "gateway_mac": mac_of,
    "route_targets": targets_of,
    "l3_vni": within(0, LARGEST_VNI),  # 0: none
}
COLUMNS: Mapping[str, str] = {"vlan_ranges": "ranges", "vni_ranges": "ranges"}


# MTU -----------------------------------------------------------------------------------------------------------------
def largest_mtu(zone: Any, config: Config) -> int:
    """Largest packet, in bytes, that passes what is under a zone."""
    if zone.type in ("vxlan", "evpn"):
        return config.underlay_mtu - VXLAN_BYTES
    return config.physical_networks[zone.physical_network].mtu


def usual_mtu(zone: Any, config: Config) -> int:
    """What a zone has whose MTU nobody gives: switches and cards let a frame grow by one tag of 802.1Q, but not by another's."""
    return largest_mtu(zone, config) - (2 * TAG_BYTES if zone.type == "qinq" else 0)


def checked_mtu(asked: int, zone: Any, config: Config) -> int:
    """Raises InvalidZone: too large for what is under the zone, or too small for IPv4."""
    largest = largest_mtu(zone, config)
    if asked and not 68 <= asked <= largest:
        raise InvalidZone("mtu", f"{asked} is not one of 68 to {largest}")
    return asked or usual_mtu(zone, config)

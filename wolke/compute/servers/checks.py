"""What is checked of a new server beyond the shape of its body. Every refusal names the field, in Nova's words."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from msgspec import UNSET, UnsetType
from sqlalchemy import select

from wolke.compute.flavors import Flavor
from wolke.compute.hosts_table import Host
from wolke.compute.servers.bodies import Create, Device
from wolke.compute.servers.table import Server
from wolke.compute.service import QuotaExceeded, rule
from wolke.core import policy, quota
from wolke.core.errors import BadRequest, Forbidden, NotFound
from wolke.core.http import Ctx
from wolke.image import images

FORCED_HOST = rule("servers", "create:forced_host", policy.admin)
DESTINATION = policy.rule("compute:servers:create:requested_destination", policy.admin)
ZERO_DISK = rule("servers", "create:zero_disk_flavor", policy.admin)
UUID = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
LABEL = re.compile(r"[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+")
GIB = 2**30
DEFAULT_ZONE = "nova"
FORMATS = ("qcow2", "raw")  # that hosts run guests from


@dataclass(frozen=True, slots=True)
class Chosen:
    """The image of a new server. ``least_gib`` : the smallest disk that holds it"""

    id: str
    min_ram: int
    min_disk: int
    virtual_size: int

    @property
    def least_gib(self) -> int:
        return max(self.min_disk, -(-self.virtual_size // GIB))


def refused(ctx: Ctx, body: Create) -> None:
    """Raises BadRequest: what this microversion or this cloud does not take."""
    if ctx.version >= (2, 37) and body.networks is UNSET:
        raise BadRequest("Invalid input for field/attribute server: 'networks' is a required property")
    if ctx.version < (2, 37) and isinstance(body.networks, str):
        raise BadRequest(f"Invalid input for field/attribute networks. Value: {body.networks}. It is not an array")
    if body.personality is not UNSET and body.personality:
        raise BadRequest("Invalid input for field/attribute personality: this cloud injects no files, use user_data")
    if body.trusted_image_certificates is not UNSET and body.trusted_image_certificates:
        raise BadRequest(
            "Invalid input for field/attribute trusted_image_certificates: image signatures are not checked here"
        )


# Image and flavor -------------------------------------------------------------------------------------------------
def devices(body: Create) -> None:
    """Raises BadRequest: a disk that only volumes could give."""
    old = body.block_device_mapping
    if old is not UNSET and old:
        raise BadRequest("Block Device Mapping is Invalid: this cloud has no volumes yet, boot from an image.")
    if body.block_device_mapping_v2 is UNSET:
        return
    listed = body.block_device_mapping_v2
    if len(listed) > 1 or any(not _is_image(one) for one in listed):
        raise BadRequest(
            "Block Device Mapping is Invalid: this cloud has no volumes yet; one device with source_type image,"
            " destination_type local and boot_index 0 is taken."
        )


def _is_image(device: Device) -> bool:
    return (
        device.source_type == "image"
        and device.destination_type in (UNSET, "local")
        and device.boot_index in (UNSET, 0)
        and isinstance(device.uuid, str)
    )


def image_ref(body: Create) -> str:
    """The image that the body names, in either of two places. Raises BadRequest."""
    given = body.image_ref if isinstance(body.image_ref, str) else ""
    listed = body.block_device_mapping_v2 if body.block_device_mapping_v2 is not UNSET else []
    mapped = str(listed[0].uuid) if listed else ""
    if given and mapped and given != mapped:
        raise BadRequest("Block Device Mapping is Invalid: the image of boot device 0 is not imageRef.")
    ref = given or mapped
    if not ref:
        raise BadRequest("Invalid imageRef provided.")
    if not UUID.fullmatch(ref):
        raise BadRequest(f"Invalid input for field/attribute imageRef. Value: {ref}. '{ref}' is not a 'uuid'")
    return ref


def image(ctx: Ctx, id: str) -> Chosen:
    try:
        found = images.seen(ctx, id)
    except NotFound as error:
        raise BadRequest("Can not find requested image") from error
    if images.status_of(found) != "active":
        raise BadRequest(f"Image {id} is not active.")
    if found.disk_format not in FORMATS:
        raise BadRequest(
            f"Image {id} is unacceptable: its disk format is {found.disk_format}, guests run from qcow2 or raw"
        )
    return Chosen(found.id, found.min_ram, found.min_disk, found.virtual_size or found.size or 0)


def fits(ctx: Ctx, flavor: Flavor, image: Chosen) -> None:
    if flavor.ram_mib < image.min_ram:
        raise BadRequest("Flavor's memory is too small for requested image.")
    if flavor.disk_gib == 0:
        if not ctx.allows(ZERO_DISK, policy.Target(ctx.caller.project_id)):
            raise Forbidden("Only volume-backed servers are allowed for flavors with zero disk.")
        return
    if flavor.disk_gib < image.min_disk:
        raise BadRequest(
            "Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is"
            f" {flavor.disk_gib * GIB} bytes, minimum size is {image.min_disk * GIB} bytes."
        )
    if flavor.disk_gib * GIB < image.virtual_size:
        raise BadRequest(
            f"Flavor's disk is too small for requested image. Flavor disk is {flavor.disk_gib * GIB} bytes, image is"
            f" {image.virtual_size} bytes."
        )


# Place ------------------------------------------------------------------------------------------------------------
def zone_and_host(ctx: Ctx, body: Create) -> tuple[str | None, str]:
    """``zone``, ``zone:host``, ``zone:host:node``; or since 2.74 host and hypervisor_hostname by themselves."""
    zone, host = None, ""
    if body.availability_zone is not UNSET:
        parts = body.availability_zone.split(":")
        if len(parts) > 3:
            raise BadRequest("Invalid input received: Unable to parse availability_zone")
        zone = parts[0] or None
        named = {part for part in parts[1:] if part}
        if named:
            ctx.require(FORCED_HOST, policy.Target(ctx.caller.project_id))
            host = _one_host(ctx, named)
    wished = {name for name in (body.host, body.hypervisor_hostname) if isinstance(name, str)}
    if wished:
        ctx.require(DESTINATION, policy.Target(ctx.caller.project_id))
        if host:
            raise BadRequest(
                "One mechanism with host and/or hypervisor_hostname and another mechanism with zone:host:node are mutually"
                " exclusive."
            )
        host = _one_host(ctx, wished)
    if zone is not None and zone != DEFAULT_ZONE and not _has_hosts(ctx, zone):
        raise BadRequest("The requested availability zone is not available")
    return zone, host


def _has_hosts(ctx: Ctx, zone: str) -> bool:
    return ctx.db.scalar(select(Host.name).where(Host.zone == zone).limit(1)) is not None


def _one_host(ctx: Ctx, names: set[str]) -> str:
    """Host and hypervisor are one here, so their names are the same."""
    name = sorted(names)[0]
    if len(names) > 1 or ctx.db.get(Host, name) is None:
        raise BadRequest(f"Compute host {' '.join(sorted(names))} could not be found.")
    return name


def ids(name: str, given: str | list[str] | UnsetType) -> list[str]:
    """Server or group ids of one scheduler hint."""
    found = [] if given is UNSET else [given] if isinstance(given, str) else given
    for one in found:
        if not UUID.fullmatch(one):
            raise BadRequest(f"Invalid input for field/attribute {name}. Value: {one}. '{one}' is not a 'uuid'")
    return found


# The rest ---------------------------------------------------------------------------------------------------------
def metadata(ctx: Ctx, items: dict[str, str]) -> None:
    """Raises QuotaExceeded."""
    if not items:
        return
    limit = quota.limits(ctx.db, "compute", ctx.caller.project_id)["metadata_items"]
    if 0 <= limit < len(items):
        raise QuotaExceeded(f"Maximum number of metadata items exceeds {limit}")


def user_data(given: str | UnsetType) -> bytes:
    """As it came, base64. Raises BadRequest."""
    if given is UNSET:
        return b""
    try:
        base64.b64decode("".join(given.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("Invalid input for field/attribute user_data. It is not a 'base64'") from error
    return given.encode()


def address(given: str | UnsetType, version: int) -> str:
    if given is UNSET or not given:
        return ""
    try:
        return str((IPv4Address if version == 4 else IPv6Address)(given))
    except AddressValueError as error:
        raise BadRequest(
            f"Invalid input for field/attribute accessIPv{version}. Value: {given}. '{given}' is not a 'ipv{version}'"
        ) from error


def sanitized(name: str) -> str:
    """A host name made of a server's name.

    >>> sanitized("My Server_1.example"), sanitized("ü!")
    ('my-server-1-example', '')
    """
    ascii_only = name.encode("ascii", "ignore").decode()
    return re.sub(r"[^\w-]", "", re.sub(r"[ _.]", "-", ascii_only)).lower().strip("-")[:63].rstrip("-")


def hostname(ctx: Ctx, body: Create, server: Server, number: int | None) -> str:
    """The host name of one of several servers (``number`` from 0) or of the only one (None)."""
    if body.hostname is UNSET:
        return sanitized(server.name) or f"server-{server.id}"
    if number is not None:
        return valid_hostname(ctx, f"{body.hostname}-{number + 1}")
    return valid_hostname(ctx, body.hostname)


def valid_hostname(ctx: Ctx, given: str) -> str:
    """2.90 takes a label, 2.94 a whole domain name."""
    if ctx.version < (2, 94) and not (LABEL.fullmatch(given) and len(given) <= 63):
        raise BadRequest(
            f"Invalid input for field/attribute hostname. Value: {given}. '{given}' does not match '^{LABEL.pattern}$'"
        )
    return given

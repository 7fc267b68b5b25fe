"""What the calls on servers take."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from wolke.core.bodies import Body
from wolke.core.versions import Since

PRINTABLE = r"^(?!\s)[^\x00-\x1f\x7f-\x9f]*(?<!\s)$"  # no control characters, no white space at the ends
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=PRINTABLE)]
Description = Annotated[str, Meta(max_length=255, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")]
Tag = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[^,/]*$")]
Uuid = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$")]
MetaKey = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9-_:. ]{1,255}$")]
MetaValue = Annotated[str, Meta(max_length=255)]
Metadata = dict[MetaKey, MetaValue]
DiskConfig = Literal["AUTO", "MANUAL"]
HostName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9-._]*$")]
Count = Annotated[int, Meta(ge=1)]


class WantedNetwork(Body):
    """One card: a network to make a port on, or a port that is there."""

    uuid: str | UnsetType = UNSET
    port: Uuid | UnsetType | None = UNSET
    fixed_ip: str | UnsetType = UNSET
    tag: Annotated[Tag | UnsetType, Since((2, 32))] = UNSET


class GroupName(Body):
    name: Name


class File(Body):
    path: str
    contents: str


class Device(Body):
    """A disk of the guest (``block_device_mapping_v2``). Only "the image, on the host's own storage" can be served yet."""

    source_type: Literal["volume", "image", "snapshot", "blank"] | UnsetType = UNSET
    destination_type: Literal["local", "volume"] | UnsetType = UNSET
    uuid: str | UnsetType = UNSET
    image_id: str | UnsetType = UNSET
    volume_id: str | UnsetType = UNSET
    snapshot_id: str | UnsetType = UNSET
    volume_size: int | UnsetType | None = UNSET
    device_name: str | UnsetType | None = UNSET
    delete_on_termination: bool | UnsetType = UNSET
    no_device: Any = UNSET
    guest_format: str | UnsetType | None = UNSET
    device_type: str | UnsetType | None = UNSET
    disk_bus: str | UnsetType | None = UNSET
    boot_index: int | UnsetType | None = UNSET
    virtual_name: str | UnsetType = UNSET
    connection_info: str | UnsetType = UNSET
    tag: Annotated[Tag | UnsetType, Since((2, 32))] = UNSET
    volume_type: Annotated[str | UnsetType | None, Since((2, 67))] = UNSET


class Create(Body, kw_only=True):
    name: Name
    flavor_ref: str | int = field(name="flavorRef")
    image_ref: str | UnsetType = field(name="imageRef", default=UNSET)
    admin_pass: str | UnsetType = field(name="adminPass", default=UNSET)
    metadata: Metadata = {}
    networks: list[WantedNetwork] | Literal["auto", "none"] | UnsetType = UNSET
    disk_config: DiskConfig | UnsetType = field(name="OS-DCF:diskConfig", default=UNSET)
    access_ipv4: str | UnsetType = field(name="accessIPv4", default=UNSET)
    access_ipv6: str | UnsetType = field(name="accessIPv6", default=UNSET)
    personality: Annotated[list[File] | UnsetType, Since((2, 1), (2, 56))] = UNSET
    availability_zone: Name | UnsetType = UNSET
    block_device_mapping: list[Device] | UnsetType = UNSET
    block_device_mapping_v2: list[Device] | UnsetType = UNSET
    config_drive: bool = False
    key_name: Name | UnsetType = UNSET
    min_count: Count | UnsetType = UNSET
    max_count: Count | UnsetType = UNSET
    return_reservation_id: bool = False
    security_groups: list[GroupName] | UnsetType = UNSET
    user_data: Annotated[str, Meta(max_length=65535)] | UnsetType = UNSET
    description: Annotated[Description | UnsetType | None, Since((2, 19))] = UNSET
    tags: Annotated[Annotated[list[Tag], Meta(max_length=50)] | UnsetType, Since((2, 52))] = UNSET
    trusted_image_certificates: Annotated[list[str] | UnsetType | None, Since((2, 63))] = UNSET
    host: Annotated[HostName | UnsetType, Since((2, 74))] = UNSET
    hypervisor_hostname: Annotated[HostName | UnsetType, Since((2, 74))] = UNSET
    hostname: Annotated[HostName | UnsetType, Since((2, 90))] = UNSET


class Hints(Struct, kw_only=True):
    """What the scheduler is to mind. Nova lets a client write any others, and so do we: they are passed over."""

    # msgspec 0.22 crashes at exit on a union of a list and a string with a pattern: the ids are checked where they are read
    group: str | list[str] | UnsetType = UNSET
    same_host: str | list[str] | UnsetType = UNSET
    different_host: str | list[str] | UnsetType = UNSET


class CreateServer(Body, kw_only=True):
    server: Create
    hints: Hints | UnsetType = field(name="os:scheduler_hints", default=UNSET)
    old_hints: Hints | UnsetType = field(name="OS-SCH-HNT:scheduler_hints", default=UNSET)


class Update(Body):
    name: Name | UnsetType = UNSET
    disk_config: DiskConfig | UnsetType = field(name="OS-DCF:diskConfig", default=UNSET)
    access_ipv4: str | UnsetType = field(name="accessIPv4", default=UNSET)
    access_ipv6: str | UnsetType = field(name="accessIPv6", default=UNSET)
    description: Annotated[Description | UnsetType | None, Since((2, 19))] = UNSET
    hostname: Annotated[HostName | UnsetType, Since((2, 90))] = UNSET


class UpdateServer(Body):
    server: Update

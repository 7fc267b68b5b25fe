"""What the calls of ports take.

API: https://docs.openstack.org/api-ref/network/v2/#ports
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from wolke.core.bodies import Body, Text255
from wolke.network.service import CreateBody, UpdateBody


class Fixed(Body):
    subnet_id: Text255 = ""
    ip_address: Text255 = ""


class Pair(Body):
    ip_address: str
    mac_address: str = ""


class DhcpOption(Body):
    opt_name: Annotated[str, Meta(min_length=1, max_length=64)]
    opt_value: Text255 | None = None
    ip_version: Literal[4, 6] = 4


DhcpOptions = Annotated[list[DhcpOption], Meta(max_length=64)]  # all of them travel in one answer


class Create(CreateBody, kw_only=True):
    network_id: Text255
    mac_address: str | UnsetType | None = UNSET
    admin_state_up: bool = True
    device_id: Text255 = ""
    device_owner: Text255 = ""
    fixed_ips: list[Fixed] | UnsetType = UNSET
    security_groups: list[Text255] | UnsetType | None = UNSET
    port_security_enabled: bool | UnsetType = UNSET
    allowed_address_pairs: list[Pair] | UnsetType | None = UNSET
    extra_dhcp_opts: DhcpOptions | None = None
    host_id: Text255 | None = field(name="binding:host_id", default=None)
    profile: dict[str, Any] | None = field(name="binding:profile", default=None)
    vnic_type: str = field(name="binding:vnic_type", default="normal")
    dns_name: str = ""
    dns_domain: str = ""
    mac_learning_enabled: bool | UnsetType | None = UNSET
    qos_policy_id: Text255 | None = None
    tags: Annotated[list[Annotated[str, Meta(min_length=1, max_length=60)]], Meta(max_length=50)] = []


class Update(UpdateBody):
    mac_address: str | UnsetType | None = UNSET
    admin_state_up: bool | UnsetType = UNSET
    device_id: Text255 | UnsetType = UNSET
    device_owner: Text255 | UnsetType = UNSET
    fixed_ips: list[Fixed] | UnsetType = UNSET
    security_groups: list[Text255] | UnsetType | None = UNSET
    port_security_enabled: bool | UnsetType = UNSET
    allowed_address_pairs: list[Pair] | UnsetType | None = UNSET
    extra_dhcp_opts: DhcpOptions | UnsetType | None = UNSET
    host_id: Text255 | UnsetType | None = field(name="binding:host_id", default=UNSET)
    profile: dict[str, Any] | UnsetType | None = field(name="binding:profile", default=UNSET)
    vnic_type: str | UnsetType = field(name="binding:vnic_type", default=UNSET)
    dns_name: str | UnsetType = UNSET
    dns_domain: str | UnsetType = UNSET
    mac_learning_enabled: bool | UnsetType | None = UNSET
    qos_policy_id: Text255 | UnsetType | None = UNSET
    data_plane_status: Literal["ACTIVE", "DOWN"] | UnsetType | None = UNSET

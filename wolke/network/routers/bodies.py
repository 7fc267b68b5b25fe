"""What the API takes of routers."""

from __future__ import annotations

from wolke.core.bodies import UNSET, Body, UnsetType
from wolke.network.service import CreateBody, UpdateBody


class FixedAddress(Body):
    subnet_id: str | None = None
    ip_address: str | None = None


class Gateway(Body):
    network_id: str | None = None
    enable_snat: bool | UnsetType = UNSET
    external_fixed_ips: list[FixedAddress] | UnsetType = UNSET
    qos_policy_id: str | UnsetType | None = UNSET
    security_groups: list[str] | UnsetType | None = UNSET

    def addresses(self) -> list[FixedAddress]:
        return self.external_fixed_ips if isinstance(self.external_fixed_ips, list) else []


class Nothing(Body):
    """``{}``, as the client of the command line spells an empty list."""


class Gateways(Body):
    external_gateways: list[Gateway] | Nothing | UnsetType = UNSET


class Route(Body):
    destination: str
    nexthop: str


class Routes(Body):
    routes: list[Route]


class Create(CreateBody):
    admin_state_up: bool = True
    external_gateway_info: Gateway | UnsetType | None = UNSET
    distributed: bool | None = None
    ha: bool | None = None
    enable_default_route_ecmp: bool | None = None
    enable_default_route_bfd: bool | None = None
    enable_ndp_proxy: bool | None = None
    availability_zone_hints: list[str] = []
    flavor_id: None = None


class Update(UpdateBody):
    admin_state_up: bool | UnsetType = UNSET
    external_gateway_info: Gateway | UnsetType | None = UNSET
    distributed: bool | UnsetType | None = UNSET
    ha: bool | UnsetType | None = UNSET
    enable_default_route_ecmp: bool | UnsetType | None = UNSET
    enable_default_route_bfd: bool | UnsetType | None = UNSET
    enable_ndp_proxy: bool | UnsetType | None = UNSET
    routes: list[Route] | UnsetType | None = UNSET

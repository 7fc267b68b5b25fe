"""Errors of routers and floating IPs, by Neutron's names (neutron_lib/exceptions/l3.py)."""

from __future__ import annotations

from wolke.core.errors import BadRequest, Conflict, NotFound


class RouterNotFound(NotFound):
    pass


class RouterInUse(Conflict):
    pass


class RouterInterfaceNotFound(NotFound):
    pass


class RouterInterfaceNotFoundForSubnet(NotFound):
    pass


class RouterInterfaceInUseByFloatingIP(Conflict):
    pass


class RouterInterfaceInUseByRoute(Conflict):
    pass


class RouterExternalGatewayInUseByFloatingIp(Conflict):
    pass


class InvalidRoutes(BadRequest):
    pass


class FloatingIPNotFound(NotFound):
    pass


class ExternalGatewayForFloatingIPNotFound(NotFound):
    pass


class FloatingIPPortAlreadyAssociated(Conflict):
    pass


class UnableToMatchGateways(BadRequest):
    pass


class UnableToRemoveGateways(BadRequest):
    pass


class RouterGatewayInUseByNDPProxy(Conflict):
    pass


class RouterInterfaceInUseByNDPProxy(Conflict):
    pass


class RouterGatewayNotValid(Conflict):
    """The router's gateway cannot answer for IPv6 addresses behind it."""


class RouterIPv6GatewayInUse(Conflict):
    pass


class RouterNDPProxyNotEnable(Conflict):
    pass


class AddressScopeConflict(Conflict):
    pass


class PortUnreachableRouter(Conflict):
    pass


class InvalidAddress(BadRequest):
    pass


class NDPProxyNotFound(NotFound):
    pass


class PortForwardingNotFound(NotFound):
    pass


class PortHasPortForwarding(BadRequest):
    pass


class FipInUseByPortForwarding(Conflict):
    pass


class PortHasBindingFloatingIP(Conflict):
    pass


class AutoAllocationFailure(Conflict):
    """Something that the operator has to prepare is missing."""

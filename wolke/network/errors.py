"""Errors by Neutron's names: the class name is the ``type`` that clients see.

Names and words: https://opendev.org/openstack/neutron-lib, neutron_lib/exceptions.
"""

from __future__ import annotations

from wolke.core.errors import BadRequest, Conflict, NotFound, PreconditionFailed, Unavailable


class InvalidInput(BadRequest):
    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"Invalid input for operation: {message.rstrip('.')}.", hint=hint)


class NetworkNotFound(NotFound):
    pass


class SubnetNotFound(NotFound):
    pass


class SubnetPoolNotFound(NotFound):
    pass


class PortNotFound(NotFound):
    pass


class TagNotFound(NotFound):
    pass


class NetworkInUse(Conflict):
    pass


class SubnetInUse(Conflict):
    pass


class PortInUse(Conflict):
    pass


class ServicePortInUse(Conflict):
    """A port that belongs to the cloud itself, such as a router's, goes with its owner only."""


class PortBound(Conflict):
    pass


class GatewayIpInUse(Conflict):
    pass


class GatewayConflictWithAllocationPools(Conflict):
    pass


class OverlappingAllocationPools(Conflict):
    pass


class OutOfBoundsAllocationPool(BadRequest):
    pass


class InvalidAllocationPool(BadRequest):
    pass


class DNSNameServersExhausted(BadRequest):
    pass


class HostRoutesExhausted(BadRequest):
    pass


class IpAddressInUse(Conflict):
    pass


class IpAddressGenerationFailure(Conflict):
    pass


class MacAddressInUse(Conflict):
    pass


class NetworkMacAddressGenerationFailure(Unavailable):
    pass


class InvalidIpForNetwork(BadRequest):
    pass


class InvalidIpForSubnet(BadRequest):
    pass


class FlatNetworkInUse(Conflict):
    pass


class VlanIdInUse(Conflict):
    pass


class TunnelIdInUse(Conflict):
    pass


class InvalidSharedSetting(Conflict):
    """Other projects use what was to be shared no longer."""


class SubnetPoolInUse(Conflict):
    pass


class SubnetAllocationError(Conflict):
    pass


class MinPrefixSubnetAllocationError(BadRequest):
    pass


class MaxPrefixSubnetAllocationError(BadRequest):
    pass


class SubnetPoolQuotaExceeded(Conflict):
    pass


class EmptySubnetPoolPrefixList(BadRequest):
    pass


class PrefixVersionMismatch(BadRequest):
    pass


class IllegalSubnetPoolPrefixBounds(BadRequest):
    pass


class IllegalSubnetPoolPrefixUpdate(BadRequest):
    pass


class IllegalSubnetPoolUpdate(BadRequest):
    pass


class IllegalSubnetPoolAssociationToAddressScope(BadRequest):
    pass


class IllegalSubnetPoolIpVersionAssociationToAddressScope(BadRequest):
    pass


class NetworkSubnetPoolAffinityError(BadRequest):
    pass


class AddressScopeNotFound(NotFound):
    pass


class AddressScopeInUse(Conflict):
    pass


class AddressScopeUpdateError(BadRequest):
    pass


class AddressScopePrefixConflict(Conflict):
    pass


class NetworkAddressScopeAffinityError(BadRequest):
    pass


class AllowedAddressPairExhausted(BadRequest):
    pass


class AddressPairAndPortSecurityRequired(Conflict):
    pass


class PortSecurityAndIPRequiredForSecurityGroups(BadRequest):
    pass


class PortSecurityPortHasSecurityGroup(Conflict):
    pass


class DuplicateAddressPairInRequest(BadRequest):
    pass


class MacLearningNeedsNoPortSecurity(Conflict):
    pass


class RevisionNumberConstraintFailed(PreconditionFailed):
    pass


class TenantIdProjectIdFilterConflict(BadRequest):
    pass


class AvailabilityZoneNotFound(NotFound):
    pass


class DefaultExternalNetworkExists(Conflict):
    pass


class ExternalNetworkInUse(Conflict):
    pass


class NetworkMTUSubnetConflict(BadRequest):
    pass


class IPAddressChangeNotAllowed(BadRequest):
    pass

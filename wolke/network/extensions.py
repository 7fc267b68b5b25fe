"""What of Neutron's many extensions this API speaks, and its version documents. Clients decide by this list, so it is true.

API: https://docs.openstack.org/api-ref/network/v2/#extensions
"""

from __future__ import annotations

from wolke.core import policy
from wolke.core.db import Json
from wolke.core.errors import NotFound
from wolke.core.http import Ctx
from wolke.network.service import collections, network

UPDATED = "2026-01-01T00:00:00-00:00"
# alias -> name
EXTENSIONS = {
    "address-group": "Address group",
    "address-scope": "Address scope",
    "agent": "agent",
    "agent_sort_key": "Agents Sort Key",
    "aap-reject-multicast": "Allowed address pairs reject multicast extension",
    "allowed-address-pairs": "Allowed Address Pairs",
    "auto-allocated-topology": "Auto Allocated Topology Services.",
    "availability_zone": "Availability Zone",
    "availability_zone_filter": "Availability Zone Filter Extension",
    "bgp": "Neutron BGP Dynamic Routing Extension",
    "bgp_4byte_asn": "BGP 4-byte AS numbers",
    "binding": "Port Binding",
    "binding-extended": "Port Bindings Extended",
    "data-plane-status": "Port data plane status extension",
    "default-subnetpools": "Default Subnetpools",
    "dns-domain-ports": "dns_domain for ports",
    "dns-integration": "DNS Integration",
    "dvr": "Distributed Virtual Router",
    "ecmp_routes": "Equal Cost Multipath Routing",
    "empty-string-filtering": "Empty String Filtering Extension",
    "enable-default-route-bfd": "Enable Default Route BFD",
    "enable-default-route-ecmp": "Enable Default Route ECMP",
    "expose-port-forwarding-in-fip": "Expose Floating IP port forwardings",
    "ext-gw-mode": "Neutron L3 Configurable external gateway mode",
    "external-gateway-multihoming": "Neutron L3 External Gateway Multihoming",
    "external-net": "Neutron external network",
    "extra_dhcp_opt": "Neutron Extra DHCP options",
    "extraroute": "Neutron Extra Route",
    "extraroute-atomic": "Atomically add/remove extra routes",
    "fip-port-details": "Floating IP Port Details Extension",
    "filter-validation": "Filter parameters validation",
    "floating-ip-port-forwarding": "Floating IP Port Forwarding",
    "floating-ip-port-forwarding-description": "Floating IP Port Forwarding new attribute description",
    "floating-ip-port-forwarding-detail": "Floating IP port forwarding detail",
    "floating-ip-port-forwarding-port-ranges": "Floating IP Port Forwarding support port ranges",
    "floatingip-autodelete-internal": "Autodelete floating IPs of internal networks",
    "floatingip-pools": "Floating IP Pools Extension",
    "ip-substring-filtering": "IP address substring filtering",
    "ip_allocation": "IP Allocation",
    "l3-ext-ndp-proxy": "Router support to enable NDP proxy",
    "l3-ha": "HA Router extension",
    "l3-ndp-proxy": "L3 NDP Proxy",
    "l3-port-ip-change-not-allowed": "Prevent L3 router ports IP address change extension",
    "mac-learning": "MAC Learning",
    "logging": "Logging API Extension",
    "metering": "Neutron Metering",
    "metering_source_and_destination_fields": "Neutron Metering with source and destination filtering",
    "net-mtu": "Network MTU",
    "net-mtu-writable": "Network MTU (writable)",
    "network-ip-availability": "Network IP Availability",
    "network-ip-availability-details": "Network IP Availability Details Extension",
    "network_availability_zone": "Network Availability Zone",
    "pagination": "Pagination support",
    "port-mac-address-regenerate": "Neutron Port MAC address regenerate",
    "port-security": "Port Security",
    "port-security-groups-filtering": "Port filtering on security groups",
    "project-id": "project_id field enabled",
    "provider": "Provider Network",
    "qos": "Quality of Service",
    "qos-bw-limit-direction": "Direction for QoS bandwidth limit rule",
    "qos-default": "QoS default policy",
    "qos-fip": "Floating IP QoS",
    "qos-fip-network-policy": "QoS floating IP network policy ID",
    "qos-gateway-ip": "Router gateway IP QoS",
    "qos-port-network-policy": "QoS port network policy ID",
    "qos-pps": "QoS Rule Type Packet per Second Extension",
    "qos-rule-type-details": "Details of QoS rule types",
    "qos-rule-type-filter": "Allow to filter the list of QoS rule types",
    "qos-rules-alias": "Quality of Service rules alias API",
    "quota-check-limit": "Quota engine limit check",
    "quota-check-limit-default": "Quota engine limit check by default",
    "quota_details": "Quota details management support",
    "quotas": "Quota management support",
    "rbac-address-group": "Add address_group type to RBAC",
    "rbac-address-scope": "Add address_scope type to RBAC",
    "rbac-policies": "RBAC Policies",
    "rbac-security-groups": "Add security_group type to network RBAC",
    "rbac-subnetpool": "Add subnetpool type to RBAC",
    "revision-if-match": "If-Match constraints based on revision_number",
    "router": "Neutron L3 Router",
    "router-admin-state-down-before-update": "Enforce Router's Admin State Down Before Update Extension",
    "router-enable-snat": "Exposes the router 'enable_snat' read-only configuration flag",
    "router_availability_zone": "Router Availability Zone",
    "security-group": "security-group",
    "security-groups-default-rules": "Default rules for security groups",
    "security-groups-default-statefulness": "Security Groups Default Statefulness",
    "security-groups-normalized-cidr": "Normalized CIDR field for security group rules",
    "security-groups-remote-address-group": "Remote address group id field for security group rules",
    "security-groups-rules-belongs-to-default-sg": "Security group rule belongs to the default security group",
    "security-groups-shared-filtering": "Security group filtering on the shared field",
    "service-type": "Neutron Service Type Management",
    "sort-key-validation": "Sort keys validation",
    "sorting": "Sorting support",
    "standard-attr-description": "standard-attr-description",
    "standard-attr-revisions": "Resource revision numbers",
    "standard-attr-tag": "Tag support for resources with standard attribute",
    "standard-attr-timestamp": "Resource timestamps",
    "stateful-security-group": "Stateful security group",
    "subnet-external-network": "Subnet belongs to an external network",
    "subnet-service-types": "Subnet service types",
    "subnet_allocation": "Subnet Allocation",
    "subnet_onboard": "Subnet Onboard",
    "subnetpool-prefix-ops": "Subnet Pool Prefix Operations",
    "tag": "Tag support",
    "tag-creation": "Tag creation extension",
    "tag-ports-during-bulk-creation": "Tag Ports During Bulk Creation",
    "trunk": "Trunk Extension",
    "trunk-details": "Trunk port details",
    "wolke-router-security-groups": "Security groups on router interfaces and gateways",
}
rule = policy.rule("get_extension", policy.logged_in)


class ExtensionNotFound(NotFound):
    pass


def shown(alias: str) -> Json:
    name = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": name, "updated": UPDATED, "links": []}


@network.call("GET", "/v2.0/extensions", rule=rule)
def list_extensions(ctx: Ctx) -> Json:
    """All extensions that work."""
    ctx.require(rule, policy.Target(None))
    return {"extensions": [shown(alias) for alias in EXTENSIONS]}


@network.call("GET", "/v2.0/extensions/{alias}", rule=rule)
def show_extension(ctx: Ctx) -> Json:
    """One extension, if it works."""
    ctx.require(rule, policy.Target(None))
    alias = ctx.path["alias"]
    if alias not in EXTENSIONS:
        raise ExtensionNotFound(f"Extension with alias {alias} does not exist")
    return {"extension": shown(alias)}


def versions(ctx: Ctx) -> Json:
    """The versions that this API speaks."""
    self = {"rel": "self", "href": f"{ctx.base}/v2.0/"}
    return {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [self]}]}


def resources(ctx: Ctx) -> Json:
    """The collections of v2.0."""
    return {
        "resources": [
            {
                "name": things.singular,
                "collection": things.plural,
                "links": [{"rel": "self", "href": f"{ctx.base}{things.path}"}],
            }
            for things in collections.values()
        ]
    }


network.call("GET", "/", rule="", public=True)(versions)
for path in ("/v2.0", "/v2.0/"):
    network.call("GET", path, rule="", public=True)(resources)

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
    "agent": "agent",
    "allowed-address-pairs": "Allowed Address Pairs",
    "availability_zone": "Availability Zone",
    "binding": "Port Binding",
    "default-subnetpools": "Default Subnetpools",
    "ext-gw-mode": "Neutron L3 Configurable external gateway mode",
    "external-net": "Neutron external network",
    "extra_dhcp_opt": "Neutron Extra DHCP options",
    "extraroute": "Neutron Extra Route",
    "extraroute-atomic": "Atomically add/remove extra routes",
    "fip-port-details": "Floating IP Port Details Extension",
    "filter-validation": "Filter parameters validation",
    "ip-substring-filtering": "IP address substring filtering",
    "ip_allocation": "IP Allocation",
    "net-mtu": "Network MTU",
    "net-mtu-writable": "Network MTU (writable)",
    "network-ip-availability": "Network IP Availability",
    "network_availability_zone": "Network Availability Zone",
    "pagination": "Pagination support",
    "port-security": "Port Security",
    "port-security-groups-filtering": "Port filtering on security groups",
    "project-id": "project_id field enabled",
    "provider": "Provider Network",
    "quota-check-limit": "Quota engine limit check",
    "quota_details": "Quota details management support",
    "quotas": "Quota management support",
    "rbac-policies": "RBAC Policies",
    "revision-if-match": "If-Match constraints based on revision_number",
    "router": "Neutron L3 Router",
    "router_availability_zone": "Router Availability Zone",
    "security-group": "security-group",
    "security-groups-normalized-cidr": "Normalized CIDR field for security group rules",
    "security-groups-shared-filtering": "Security group filtering on the shared field",
    "sorting": "Sorting support",
    "standard-attr-description": "standard-attr-description",
    "standard-attr-revisions": "Resource revision numbers",
    "standard-attr-tag": "Tag support for resources with standard attribute",
    "standard-attr-timestamp": "Resource timestamps",
    "stateful-security-group": "Stateful security group",
    "subnet-service-types": "Subnet service types",
    "subnet_allocation": "Subnet Allocation",
    "subnetpool-prefix-ops": "Subnet Pool Prefix Operations",
    "tag-ports-during-bulk-creation": "Tag Ports During Bulk Creation",
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

"""The extensions of the API, by their old names. Nova has none any more and lists them for older clients; so do we, those we serve.

API: https://docs.openstack.org/api-ref/compute/#extensions-extensions-deprecated
"""

from __future__ import annotations

from wolke.compute.service import compute, rule
from wolke.core import policy
from wolke.core.db import Json
from wolke.core.errors import NotFound
from wolke.core.http import Ctx

LIST = rule("extensions", "", policy.logged_in)
NAMES = {
    "OS-DCF": "DiskConfig",
    "OS-EXT-AZ": "ExtendedAvailabilityZone",
    "OS-EXT-IPS": "ExtendedIps",
    "OS-EXT-IPS-MAC": "ExtendedIpsMac",
    "OS-EXT-SRV-ATTR": "ExtendedServerAttributes",
    "OS-EXT-STS": "ExtendedStatus",
    "OS-FLV-DISABLED": "FlavorDisabled",
    "OS-FLV-EXT-DATA": "FlavorExtraData",
    "OS-SCH-HNT": "SchedulerHints",
    "OS-SRV-USG": "ServerUsage",
    "os-aggregates": "Aggregates",
    "os-attach-interfaces": "AttachInterfaces",
    "os-availability-zone": "AvailabilityZone",
    "os-config-drive": "ConfigDrive",
    "os-console-output": "ConsoleOutput",
    "os-consoles": "Consoles",
    "os-flavor-access": "FlavorAccess",
    "os-flavor-extra-specs": "FlavorExtraSpecs",
    "os-flavor-manage": "FlavorManage",
    "os-hypervisors": "Hypervisors",
    "os-instance-actions": "InstanceActions",
    "os-keypairs": "Keypairs",
    "os-lock-server": "LockServer",
    "os-multiple-create": "MultipleCreate",
    "os-quota-class-sets": "QuotaClasses",
    "os-quota-sets": "Quotas",
    "os-security-groups": "SecurityGroups",
    "os-server-groups": "ServerGroups",
    "os-server-password": "ServerPassword",
    "os-server-start-stop": "ServerStartStop",
    "os-services": "Services",
    "os-simple-tenant-usage": "SimpleTenantUsage",
    "os-used-limits": "UsedLimits",
    "os-user-data": "UserData",
}


def view(alias: str) -> Json:
    name = NAMES[alias]
    return {
        "alias": alias,
        "name": name,
        "description": name,
        "namespace": "",
        "links": [],
        "updated": "2014-12-03T00:00:00Z",
    }


@compute.call("GET", "/v2.1/extensions", rule=LIST)
def index(ctx: Ctx) -> Json:
    """List extensions."""
    ctx.require(LIST, policy.Target(ctx.caller.project_id))
    return {"extensions": [view(alias) for alias in NAMES]}


@compute.call("GET", "/v2.1/extensions/{alias}", rule=LIST)
def show(ctx: Ctx) -> Json:
    """Show one extension."""
    ctx.require(LIST, policy.Target(ctx.caller.project_id))
    if ctx.path["alias"] not in NAMES:
        raise NotFound(f"Extension {ctx.path['alias']} could not be found.")
    return {"extension": view(ctx.path["alias"])}

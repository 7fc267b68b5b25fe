"""OpenTofu with its unmodified OpenStack provider: every networking resource through its whole life, and three states at once.

What each resource has shown stands in ``docs/opentofu.md``, which this test compares and ``--update-golden`` writes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.flows.tofu import PROVIDER, TOFU, Folder
from tests.real.tenants import Tenant
from wolke.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]
SOURCES = Path(__file__).parents[1] / "flows" / "opentofu"
TABLE = Path(__file__).parents[2] / "docs" / "opentofu.md"
NOT_IMPORTED = {  # the provider itself has no import of these
    "openstack_networking_portforwarding_v2", "openstack_networking_trunk_v2",
}  # fmt: skip
NO_UPDATE = {  # nothing of these can be changed in place, says the provider: a change makes them anew
    "openstack_networking_secgroup_rule_v2", "openstack_networking_router_route_v2", "openstack_networking_subnet_route_v2",
    "openstack_networking_router_interface_v2",
}  # fmt: skip
UNREAD = {  # what the provider only writes: it cannot know these of what it imports
    "tags", "fixed_ip", "no_security_groups", "enforce", "delete_default_rules", "security_group_ids",
}  # fmt: skip
HEAD = """\
# OpenTofu

What the unmodified provider `terraform-provider-openstack/openstack` {provider} does with this cloud under OpenTofu {tofu}:
`tests/real/test_opentofu.py` writes this table from what it has seen. *changed in place* is a dash where the provider makes such
a resource anew, *imported* where it has no import; *but for* names what the provider never reads back.

Not among them: `openstack_networking_qos_minimum_bandwidth_rule_v2` (nothing places servers by bandwidth), and what the provider has
for BGP VPN, firewalls as a service, tap mirrors and VPN: [api-coverage.md](api-coverage.md) tells why.

| resource | created | second plan empty | changed in place | plan after the change empty | imported without a difference | destroyed |
|---|---|---|---|---|---|---|
"""


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    for module in (TOFU, PROVIDER):
        if not module.made.exists():
            pytest.fail(f"{module.program} is not built: ./run test does it")


def environment(lab: Lab, cloud: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "TF_"))}
    return clean | {"OS_CLIENT_CONFIG_FILE": str(lab.directory / "clouds.yaml"), "OS_CLOUD": cloud}


def kind(address: str) -> str:
    return address.partition(".")[0]


def quiet(changes: Mapping[str, Any]) -> dict[str, bool]:
    """Resource -> whether a plan leaves it and all others of its kind alone."""
    found: dict[str, bool] = {}
    for address, change in changes.items():
        found[kind(address)] = found.get(kind(address), True) and change["actions"] == ["no-op"]
    return found


def differing(changes: Mapping[str, Any]) -> str:
    return "\n".join(
        f"{address}: {change['actions']} {before_after(change)}"
        for address, change in changes.items()
        if change["actions"] != ["no-op"]
    )


def before_after(change: Mapping[str, Any]) -> dict[str, Any]:
    before, after = change["before"] or {}, change["after"] or {}
    return {
        name: (before.get(name), after.get(name)) for name in {*before, *after} if before.get(name) != after.get(name)
    }


def test_every_networking_resource_through_its_life(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    other = Tenant(lab, "tofu-other")
    api = other.admin
    [admin] = api.get("/identity/v3/projects", name="admin")["projects"]
    [its] = api.get("/identity/v3/projects", name="tofu-other")["projects"]
    given = {"public": other.public["id"], "project": admin["id"], "other_project": its["id"]}
    folder = Folder(tmp_path / "all", environment(lab, "admin"))
    shutil.copy(SOURCES / "everything.tf", folder.place / "main.tf")
    try:
        folder.apply(**given)
        created = folder.state()
        again = folder.changes(**given)
        planned = folder.changes(**given, stage="2")
        changed = {kind(address) for address, change in planned.items() if change["actions"] == ["update"]}
        folder.apply(**given, stage="2")
        after = folder.changes(**given, stage="2")
        imported = importing(folder, tmp_path / "imported", given)
    finally:
        folder.destroy(**given, stage="2")
        left = folder.state()
        other.end()
    kinds = sorted({kind(address) for address in created})
    calm, calm_after = quiet(again), quiet(after)
    rows = []
    for one in kinds:
        cells = [
            "yes", yes(calm[one]), "-" if one in NO_UPDATE else yes(one in changed), yes(calm_after[one]),
            "-" if one in NOT_IMPORTED else same(one, imported), yes(not left),
        ]  # fmt: skip
        rows.append(f"| `{one}` | {' | '.join(cells)} |")
    text = HEAD.format(provider=PROVIDER.version, tofu=TOFU.version) + "\n".join(rows) + "\n"
    print(text)
    if request.config.getoption("--update-golden"):
        TABLE.write_text(text)
    told = "\n".join(differing(changes) for changes in (again, after, imported))
    assert "| no |" not in text, f"{text}\n{told}"
    assert text == TABLE.read_text(), "docs/opentofu.md differs from what was seen"


def same(one: str, imported: Mapping[str, Any]) -> str:
    """Whether what was imported of a kind is what the configuration says."""
    its = {address: change for address, change in imported.items() if kind(address) == one}
    unread: set[str] = set()
    for change in its.values():
        match change["actions"]:
            case ["no-op"]:
                pass
            case ["update"]:
                unread |= before_after(change).keys()
            case _:
                unread |= {path[0] for path in change.get("replace_paths", [["?"]])}
    if not its or unread - UNREAD:
        return "no"
    return f"yes, but for {', '.join(f'`{name}`' for name in sorted(unread))}" if unread else "yes"


def yes(true: bool) -> str:
    return "yes" if true else "no"


def importing(made: Folder, place: Path, given: Mapping[str, str]) -> dict[str, Any]:
    """What a plan says that imports all that is there into an empty state: nothing but the import, where all is well."""
    folder = Folder(place, made.environment)
    shutil.copy(made.place / "main.tf", place / "main.tf")
    there = made.state()
    blocks = [
        f'import {{\n  to = {address}\n  id = "{name_of(kind(address), values)}"\n}}\n'
        for address, values in there.items()
        if kind(address) not in NOT_IMPORTED
    ]
    folder.write("\n".join(blocks), "imports.tf")
    changes = folder.changes(**given, stage="2")
    return {address: change for address, change in changes.items() if "importing" in change}


def name_of(kind: str, values: Mapping[str, Any]) -> str:
    """What the provider's import takes: the id, but for some."""
    match kind:
        case "openstack_networking_quota_v2":
            return f"{values['project_id']}/{values['region']}"
        case "openstack_networking_floatingip_associate_v2":
            return str(values["id"])
        case _:
            return str(values["id"])


TEAM = """
terraform {{
  required_providers {{
    openstack = {{ source = "terraform-provider-openstack/openstack" }}
  }}
}}
provider "openstack" {{}}
resource "openstack_networking_network_v2" "net" {{
  count = 4
  name  = "{name}-${{count.index}}"
}}
resource "openstack_networking_subnet_v2" "subnet" {{
  count      = 4
  network_id = openstack_networking_network_v2.net[count.index].id
  cidr       = "10.${{count.index}}.0.0/24"
}}
resource "openstack_networking_secgroup_v2" "group" {{
  name = "{name}"
}}
resource "openstack_networking_secgroup_rule_v2" "rule" {{
  count             = 6
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  port_range_min    = 8000 + count.index
  port_range_max    = 8000 + count.index
  security_group_id = openstack_networking_secgroup_v2.group.id
}}
resource "openstack_networking_port_v2" "port" {{
  count              = 12
  network_id         = openstack_networking_network_v2.net[count.index % 4].id
  security_group_ids = [openstack_networking_secgroup_v2.group.id]
  fixed_ip {{
    subnet_id = openstack_networking_subnet_v2.subnet[count.index % 4].id
  }}
}}
resource "openstack_networking_router_v2" "router" {{
  name                = "{name}"
  external_network_id = "{public}"
}}
resource "openstack_networking_router_interface_v2" "leg" {{
  count     = 4
  router_id = openstack_networking_router_v2.router.id
  subnet_id = openstack_networking_subnet_v2.subnet[count.index].id
}}
resource "openstack_networking_floatingip_v2" "ip" {{
  count      = 2
  pool       = "public"
  port_id    = openstack_networking_port_v2.port[count.index].id
  depends_on = [openstack_networking_router_interface_v2.leg]
}}
"""


def test_three_states_at_once_in_one_project(lab: Lab, tmp_path: Path) -> None:
    project = Tenant(lab, "tofu-team")
    clouds = yaml.safe_load((lab.directory / "clouds.yaml").read_text())
    auth = clouds["clouds"]["demo"]["auth"] | {
        "username": "tofu-team",
        "password": "open sesame",
        "project_name": "tofu-team",
    }
    clouds["clouds"]["team"] = clouds["clouds"]["demo"] | {"auth": auth}
    told = environment(lab, "team") | {"OS_CLIENT_CONFIG_FILE": str(tmp_path / "clouds.yaml")}
    (tmp_path / "clouds.yaml").write_text(yaml.safe_dump(clouds))
    folders = [Folder(tmp_path / name, told) for name in ("ann", "bob", "eve")]
    for folder in folders:
        folder.write(TEAM.format(name=folder.place.name, public=project.public["id"]))
    try:
        with ThreadPoolExecutor(3) as three:
            list(three.map(Folder.apply, folders))
        for folder in folders:
            assert len(folder.state()) == 34 and differing(folder.changes()) == ""
    finally:
        with ThreadPoolExecutor(3) as three:
            list(three.map(Folder.destroy, folders))
        project.end()

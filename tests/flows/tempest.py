"""The unmodified tempest against a running cloud: its configuration, a run of named tests, and what came of each.

Tempest: https://docs.openstack.org/tempest/latest/configuration.html
"""

from __future__ import annotations

import configparser
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wolke.lab.furnish import SUBNETS, Api

BIN = Path(__file__).resolve().parents[2] / ".venv-clients" / "bin"
LISTS = Path(__file__).parent / "lists"
# "{0} tempest.api.x.Class.test[id-...] [0.1s] ... ok", "{0} setUpClass (tempest.api.x.Class) [0.0s] ... SKIPPED: why"
_LINE = re.compile(
    r"^\{\d+\} (?P<name>\S.*?)(?: \[[\d.]+s\])? \.\.\. (?P<verdict>ok|FAILED|SKIPPED)(?:: (?P<why>.*))?$"
)
_WHOLE_CLASS = re.compile(r"^(setUpClass|tearDownClass) \((?P<name>[\w.]+)\)$")


@dataclass(frozen=True, slots=True)
class Target:
    """The cloud that is tested."""

    url: str  # the origin: http://127.0.0.1:8774
    admin_password: str
    public_network_id: str
    extensions: tuple[str, ...] = ("all",)  # of the Network API
    images: tuple[str, ...] = ()  # ids; without them what starts servers is skipped
    flavors: tuple[str, ...] = ()
    lockout: tuple[int, int] = (0, 0)  # wrong passwords in a row, and for how many seconds they lock a user out
    past_passwords: int = 1  # that nobody may go back to
    more: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # section -> option -> value, above all others


@dataclass(slots=True)
class Outcome:
    """What a run gave, by test without its ids in brackets."""

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # name -> reason
    missing: list[str] = field(default_factory=list)  # asked for, but nothing was said of it
    text: str = ""  # all that tempest printed, with the tracebacks

    def __str__(self) -> str:
        counts = f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"
        bad = [*(f"FAILED {name}" for name in self.failed), *(f"MISSING {name}" for name in self.missing)]
        return "\n".join([counts, *bad, *(f"skipped {name}: {why}" for name, why in self.skipped.items())])


def target_at(url: str, admin_password: str, **more: Any) -> Target:
    """A cloud, asked what it has. It gets an external network if there is none."""
    api = Api(url, "admin", admin_password, "admin")
    outside = next(iter(api.get("/network/v2.0/networks", **{"router:external": "true"})["networks"]), None)
    if outside is None:
        outside = api.ensure("/network/v2.0/networks", "network", {"name": "public", "router:external": True})
        subnet = {**SUBNETS[0], "network_id": outside["id"]}
        api.ensure("/network/v2.0/subnets", "subnet", subnet, network_id=outside["id"])
    images = [one["id"] for one in api.get("/image/v2/images")["images"] if one["status"] == "active"]
    flavors = [one["id"] for one in api.get("/compute/v2.1/flavors")["flavors"]]
    return Target(
        url, admin_password, outside["id"], images=tuple(images), flavors=tuple(flavors),
        extensions=tuple(one["alias"] for one in api.get("/network/v2.0/extensions")["extensions"]), **more,
    )  # fmt: skip


def names(list_name: str) -> list[str]:
    """The tests of ``tests/flows/lists/NAME.txt``."""
    return (LISTS / f"{list_name}.txt").read_text().split()


def configuration(target: Target, directory: Path) -> configparser.ConfigParser:
    compute = bool(target.images and target.flavors)
    attempts, seconds = target.lockout
    sections: dict[str, dict[str, object]] = {
        "DEFAULT": {"debug": False, "log_dir": directory, "log_file": "tempest.log"},
        "oslo_concurrency": {"lock_path": directory / "locks"},
        "auth": {
            "use_dynamic_credentials": True, "admin_username": "admin", "admin_project_name": "admin",
            "admin_password": target.admin_password, "admin_domain_name": "Default", "tempest_roles": "member",
            "create_isolated_networks": compute,
        },
        "identity": {
            "auth_version": "v3", "uri_v3": f"{target.url}/identity/v3", "uri": f"{target.url}/identity", "region": "RegionOne",
            "default_domain_id": "default", "v3_endpoint_type": "public", "user_lockout_failure_attempts": attempts,
            "user_lockout_duration": seconds, "user_unique_last_password_count": target.past_passwords,
        },
        "identity-feature-enabled": {"api_v2": False, "api_v2_admin": False, "trust": False, "access_rules": True,
                                     "security_compliance": attempts > 0},
        "service_available": {"neutron": True, "glance": True, "nova": True, "cinder": False, "swift": False, "horizon": False},
        "network": {"public_network_id": target.public_network_id, "project_network_v6_cidr": "fd00:0:0::/48"},
        "network-feature-enabled": {
            "ipv6": True, "ipv6_subnet_attributes": True, "port_security": True, "floating_ips": True,
            "api_extensions": ",".join(target.extensions),
        },
        "image": {"disk_formats": "raw,qcow2", "container_formats": "bare"},
        "image-feature-enabled": {"api_v2": True, "import_image": True},
        "compute-feature-enabled": {
            "resize": False, "shelve": False, "pause": False, "suspend": False, "rescue": False, "snapshot": False, "live_migration": False,
            "cold_migration": False, "vnc_console": True, "config_drive": True, "metadata_service": True, "interface_attach": True,
        },
    }  # fmt: skip
    if compute:
        sections["compute"] = {
            "image_ref": target.images[0], "image_ref_alt": target.images[-1], "flavor_ref": target.flavors[0],
            "flavor_ref_alt": target.flavors[-1],
        }  # fmt: skip
    made = configparser.ConfigParser(interpolation=None)
    for section, options in [*sections.items(), *target.more.items()]:
        if section != "DEFAULT" and not made.has_section(section):
            made.add_section(section)
        for name, value in options.items():
            made.set(section, name, str(value))
    return made


def workspace(target: Target, directory: Path) -> Path:
    """Where tempest runs: its configuration and a place for results."""
    run([BIN / "tempest", "init", "--workspace-path", directory.with_suffix(".yaml"), directory], directory.parent)
    with (directory / "etc" / "tempest.conf").open("w") as out:
        configuration(target, directory).write(out)
    return directory


def run(words: Iterable[object], directory: Path, *, seconds: float = 120, **environment: str) -> str:
    """What a program printed, whatever its exit status."""
    environment |= {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "TEMPEST_"))}
    environment |= {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(directory)}
    done = subprocess.run(
        [str(word) for word in words], check=False, cwd=directory, env=environment, text=True, timeout=seconds,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout


def tempest(
    target: Target,
    directory: Path,
    asked: Iterable[str],
    *,
    without: Sequence[str] = (),
    concurrency: int = 2,
    seconds: float = 3600,
) -> Outcome:
    """Run tests by name, without what stands in brackets behind it; a name that ends with a dot means all below it.

    ``without`` : parts of names of tests that are left out
    """
    asked = list(asked)
    place = workspace(target, directory)
    patterns = [f"^{re.escape(name)}" + ("" if name.endswith(".") else r"(\[|$)") for name in asked]
    (place / "include.txt").write_text("\n".join(patterns) + "\n")
    words = [BIN / "tempest", "run", "--include-list", place / "include.txt", "--concurrency", concurrency]
    if without:
        words += ["--exclude-regex", "|".join(map(re.escape, without))]  # it takes one
    text = run(words, place, seconds=seconds, TEMPEST_CONFIG_DIR=str(place / "etc"), OS_TEST_TIMEOUT="300")
    return outcome(text, [name for name in asked if not name.endswith(".")])


def outcome(text: str, asked: Iterable[str]) -> Outcome:
    """What tempest printed, read."""
    found = Outcome(text=text)
    whole: dict[str, str] = {}  # class -> why all of its tests were skipped
    for line in text.splitlines():
        if not (match := _LINE.match(line)):
            continue
        name, verdict, why = match["name"], match["verdict"], match["why"] or ""
        if of_class := _WHOLE_CLASS.match(name):
            name = of_class["name"]
            if verdict == "SKIPPED":
                whole[name] = why
        name = name.partition("[")[0]
        if verdict == "ok":
            found.passed.append(name)
        elif verdict == "FAILED":
            found.failed.append(name)
        else:
            found.skipped[name] = why
    known = {*found.passed, *found.failed, *found.skipped}
    for name in asked:
        owner = name.rpartition(".")[0]
        if owner in whole:
            found.skipped.pop(owner, None)
            found.skipped[name] = whole[owner]
        elif name not in known:
            found.missing.append(name)
    return found

"""What the demo builds: projects ``red`` and ``blue``, alike to the last address, each by its own user."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from wolke.demo.client import Client
from wolke.lab.furnish import entry, write_secret
from wolke.lab.lab import Lab

NAMES = ("red", "blue")
RANGE, GATEWAY = "10.0.0.0/24", "10.0.0.1"
ADDRESSES = {"web1": "10.0.0.11", "web2": "10.0.0.12"}
PROBES = {
    "red": "10.0.0.98",
    "blue": "10.0.0.99",
}  # a listener in each project, at an address that the other does not have
SSH_FROM = "198.51.100.1/32"  # the one prefix that may open ssh; the internet node has further addresses
FLAVOR, IMAGE, KEY, GROUP, NETWORK, ROUTER = "demo.tiny", "tiny", "demo", "web", "net", "router"

# Each server tells who it is on port 80, listens on 8080 without any rule that allows it, and writes down how the internet saw it.
USER_DATA = """#!/bin/sh
mkdir -p /www
hostname > /www/host
echo '{project}' > /www/project
timeout 5 wget -q -O - http://169.254.169.254/openstack/latest/meta_data.json > /www/metadata
httpd -p 80 -h /www
httpd -p 8080 -h /www
n=0
while [ $n -lt 60 ]; do
    timeout 5 wget -q -O /www/outside.new http://198.51.100.1:8000/ && mv /www/outside.new /www/outside && break
    n=$((n + 1)); sleep 1
done
"""


@dataclass
class Project:
    name: str
    client: Client
    servers: dict[str, dict[str, Any]] = field(default_factory=dict)
    floating: dict[str, str] = field(default_factory=dict)  # server -> address
    router_address: str = ""
    probe: dict[str, Any] = field(default_factory=dict)  # port


def build(lab: Lab, image: Path, say: Callable[[str], None]) -> tuple[list[Project], Path]:
    """Both projects, and the private key that opens their servers."""
    folder = lab.directory / "demo"
    folder.mkdir(exist_ok=True)
    key = folder / "key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    clouds = lab.directory / "clouds.yaml"
    admin = Client("admin", clouds, say)
    common(admin, image)
    projects = [Project(name, Client(name, clouds, say)) for name in NAMES]
    passwords = add_clouds(lab, clouds)
    with ThreadPoolExecutor(len(projects)) as both:
        for done in [both.submit(furnish, project, admin, passwords[project.name], folder) for project in projects]:
            done.result()
    return projects, key


def common(admin: Client, image: Path) -> None:
    """What the operator offers everybody."""
    if not any(one["Name"] == IMAGE for one in admin("image", "list", "--public")):
        admin(
            "image", "create", IMAGE, "--public", "--disk-format", "qcow2", "--container-format", "bare", "--file", str(image)
        )  # fmt: skip
    if not any(one["Name"] == FLAVOR for one in admin("flavor", "list")):
        admin("flavor", "create", FLAVOR, "--vcpus", "1", "--ram", "256", "--disk", "1")
    present = {one["Name"] for one in admin("project", "list")}
    with ThreadPoolExecutor(len(NAMES)) as both:
        list(both.map(partial(remove, admin), [name for name in NAMES if name in present]))


def remove(admin: Client, name: str) -> None:
    """Take away what an earlier demo left in a project, with the client's own commands."""
    servers = [one["ID"] for one in admin("server", "list", "--project", name)]
    if servers:
        admin.do("server", "delete", "--wait", *servers)
    for one in admin("floating", "ip", "list", "--project", name):
        admin.do("floating", "ip", "delete", one["ID"])
    for router in admin("router", "list", "--project", name):
        for port in admin("port", "list", "--router", router["ID"], "--device-owner", "network:router_interface"):
            admin.do("router", "remove", "port", router["ID"], port["ID"])
        admin.do("router", "delete", router["ID"])
    for port in admin("port", "list", "--project", name):
        admin.run("port", "delete", port["ID"])
    for network in admin("network", "list", "--project", name):
        admin.do("network", "delete", network["ID"])
    for group in admin("security", "group", "list", "--project", name):
        admin.do("security", "group", "delete", group["ID"])
    admin.run("user", "delete", name)  # it may have ended before there was one
    admin.do("project", "delete", name)


def add_clouds(lab: Lab, clouds: Path) -> dict[str, str]:
    """Write both projects' users into the clouds.yaml beside admin and demo; their passwords."""
    passwords = {name: secrets.token_hex(12) for name in NAMES}
    known = yaml.safe_load(clouds.read_text())
    for name, password in passwords.items():
        known["clouds"][name] = entry(lab.url, name, password, name)
    write_secret(clouds, yaml.safe_dump(known, sort_keys=False))
    return passwords


def furnish(project: Project, admin: Client, password: str, folder: Path) -> None:
    """One project, from its user to its servers; everything below the first four commands is done by that user."""
    name, client = project.name, project.client
    admin("project", "create", name)
    admin("user", "create", name, "--password", password, "--project", name)
    admin.do("role", "add", "member", "--user", name, "--project", name)
    admin.do("quota", "set", "--floating-ips", str(len(ADDRESSES)), name)

    client.do("keypair", "create", KEY, "--public-key", str(folder / "key.pub"))
    client("security", "group", "create", GROUP)
    client("security", "group", "rule", "create", GROUP, "--protocol", "tcp", "--dst-port", "80")
    client(
        "security", "group", "rule", "create", GROUP, "--protocol", "tcp", "--dst-port", "22", "--remote-ip", SSH_FROM
    )
    client("security", "group", "rule", "create", GROUP, "--protocol", "tcp", "--dst-port", "22", "--remote-ip", RANGE)
    client("security", "group", "rule", "create", GROUP, "--protocol", "icmp", "--remote-ip", RANGE)
    client("network", "create", NETWORK)
    client("subnet", "create", "subnet", "--network", NETWORK, "--subnet-range", RANGE, "--gateway", GATEWAY)
    client("router", "create", ROUTER)
    client.do("router", "set", ROUTER, "--external-gateway", "public")
    client.do("router", "add", "subnet", ROUTER, "subnet")
    gateway = client("router", "show", ROUTER)["external_gateway_info"]
    project.router_address = next(
        one["ip_address"] for one in gateway["external_fixed_ips"] if "." in one["ip_address"]
    )

    user_data = folder / f"{name}.sh"
    user_data.write_text(USER_DATA.format(project=name))
    for server, address in ADDRESSES.items():
        project.servers[server] = client(
            "server", "create", server, "--image", IMAGE, "--flavor", FLAVOR, "--key-name", KEY, "--security-group", GROUP,
            "--nic", f"net-id={NETWORK},v4-fixed-ip={address}", "--user-data", str(user_data),
        )  # fmt: skip
    project.floating["web1"] = lead(project, "web1")
    project.probe = client(  # without any filter, so that nothing but the isolation of projects can keep packets away
        "port", "create", "probe", "--network", NETWORK, "--fixed-ip", f"ip-address={PROBES[name]}", "--no-security-group",
        "--disable-port-security",
    )  # fmt: skip


def lead(project: Project, server: str) -> str:
    """A new floating IP to a server."""
    address = str(project.client("floating", "ip", "create", "public")["floating_ip_address"])
    project.client.do("server", "add", "floating", "ip", server, address)
    return address

"""What a guest is told about itself: one rendering for the metadata service and for the config drive.

Formats: https://docs.openstack.org/nova/latest/user/metadata.html and the EC2 instance metadata of 2009-04-04.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from wolke.wire.wanted import Server

# Each date brought documents or keys; a client takes the newest that it knows.
OPENSTACK = (
    "2012-08-10",
    "2013-04-04",  # vendor_data.json came with 2013-10-17, random_seed and password with this one
    "2013-10-17",
    "2015-10-15",  # network_data.json, project_id
    "2016-06-30",  # devices
    "2016-10-06",  # vendor_data2.json
    "2017-02-22",
    "2018-08-27",
    "2020-10-14",  # dedicated_cpus
    "latest",
)
EC2 = ("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01",
       "2009-04-04", "latest")  # fmt: skip


def since(version: str, first: str) -> bool:
    return version >= first  # "latest" sorts behind every date


def as_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def meta_data(server: Server, version: str, *, seed: bytes, admin_pass: str) -> dict[str, Any]:
    """``meta_data.json``. ``seed`` feeds the guest's random generator; ``admin_pass`` is told on the config drive only."""
    about = server.metadata
    shown: dict[str, Any] = {
        "uuid": server.id,
        "name": about.name,
        "hostname": about.hostname,
        "availability_zone": about.availability_zone,
        "launch_index": about.launch_index,
    }
    if about.keys:
        shown["public_keys"] = about.keys
        shown["keys"] = [{"name": name, "type": "ssh", "data": data} for name, data in about.keys.items()]
    if about.meta:
        shown["meta"] = about.meta
    if admin_pass:
        shown["admin_pass"] = admin_pass
    if since(version, "2013-04-04") and seed:
        shown["random_seed"] = base64.b64encode(seed).decode()
    if since(version, "2015-10-15"):
        shown["project_id"] = about.project_id
    if since(version, "2016-06-30"):
        shown["devices"] = []
    if since(version, "2020-10-14"):
        shown["dedicated_cpus"] = []
    return shown


def openstack_documents(server: Server, *, seed: bytes = b"", admin_pass: str = "") -> dict[str, bytes]:
    """All below ``openstack/``, except the password, which the guest itself writes."""
    documents: dict[str, bytes] = {}
    about = server.metadata
    for version in OPENSTACK:
        place = f"openstack/{version}"
        documents[f"{place}/meta_data.json"] = as_json(meta_data(server, version, seed=seed, admin_pass=admin_pass))
        if about.user_data is not None:
            documents[f"{place}/user_data"] = about.user_data
        if since(version, "2013-10-17"):
            documents[f"{place}/vendor_data.json"] = as_json(about.vendor_data)
        if since(version, "2015-10-15"):
            documents[f"{place}/network_data.json"] = as_json(about.network_data)
        if since(version, "2016-10-06"):
            documents[f"{place}/vendor_data2.json"] = as_json({"static": about.vendor_data})
    return documents


def ec2_values(server: Server) -> dict[str, str]:
    """``meta-data/`` of the EC2 dialect as path -> text."""
    about = server.metadata
    id = f"i-{server.id.replace('-', '')[:8]}"
    values = {
        "ami-id": f"ami-{server.disk.image.id.replace('-', '')[:8]}",
        "ami-launch-index": str(about.launch_index),
        "ami-manifest-path": "FIXME",  # the word that Nova answers with; scripts compare it
        "block-device-mapping/ami": "vda",
        "block-device-mapping/root": "/dev/vda",
        "hostname": about.hostname,
        "instance-action": "none",
        "instance-id": id,
        "instance-type": about.instance_type,
        "local-hostname": about.hostname,
        "local-ipv4": ",".join(about.addresses.get("local-ipv4", [])[:1]),
        "placement/availability-zone": about.availability_zone,
        "public-hostname": about.hostname,
        "public-ipv4": ",".join(about.addresses.get("public-ipv4", [])[:1]),
        "reservation-id": f"r-{server.id.replace('-', '')[:8]}",
        "security-groups": "\n".join(about.security_groups),
    }
    for index, key in enumerate(about.keys.values()):
        values[f"public-keys/{index}/openssh-key"] = key
    return values


def ec2_documents(server: Server) -> dict[str, bytes]:
    """All below ``latest/`` and its older names."""
    documents: dict[str, bytes] = {}
    values = ec2_values(server)
    for version in EC2:
        documents |= {f"{version}/meta-data/{path}": text.encode() for path, text in values.items()}
        if server.metadata.user_data is not None:
            documents[f"{version}/user-data"] = server.metadata.user_data
    return documents


def drive_files(server: Server, *, seed: bytes) -> dict[str, bytes]:
    """The files of the config drive; EC2's part is one JSON document there."""
    files = openstack_documents(server, seed=seed, admin_pass=server.metadata.admin_pass)
    tree: dict[str, Any] = {}
    for path, text in ec2_values(server).items():
        *folders, leaf = path.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[leaf] = text
    for version in ("2009-04-04", "latest"):
        files[f"ec2/{version}/meta-data.json"] = as_json(tree)
        if server.metadata.user_data is not None:
            files[f"ec2/{version}/user-data"] = server.metadata.user_data
    return files


def answer(server: Server, path: str, *, seed: bytes = b"", password: str = "") -> bytes | None:
    """What ``GET /path`` is answered with, or None: a document, or the listing of a folder as the dialects write it."""
    parts = [part for part in path.split("/") if part]
    place = "/".join(parts)
    if not parts:
        return listing([*EC2, "openstack"])
    if parts == ["openstack"]:
        return listing(OPENSTACK)
    if parts[0] == "openstack":
        documents = openstack_documents(server, seed=seed)
        documents |= {f"openstack/{version}/password": password.encode() for version in OPENSTACK[1:]}
    else:
        documents = ec2_documents(server)
    if place in documents:
        return documents[place]
    below = {name[len(place) + 1 :] for name in documents if name.startswith(place + "/")}
    if not below:
        return None
    if parts[0] != "openstack" and parts[1:] == ["meta-data", "public-keys"]:
        return listing(f"{index}={name}" for index, name in enumerate(server.metadata.keys))
    return listing(sorted({name.split("/")[0] + ("/" if "/" in name else "") for name in below}))


def listing(names: Any) -> bytes:
    return "\n".join(names).encode()

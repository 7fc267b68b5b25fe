"""``wolke dev``: a whole cloud in one process, whose fake hosts run servers."""

from __future__ import annotations

import signal
import subprocess

import httpx2
import pytest
import yaml

from tests.cli.conftest import ENVIRONMENT, WORDS, listening, port_of
from tests.waiting import wait_for


@pytest.fixture
def dev(tmp_path):
    with listening() as free:
        port = port_of(free)
    words = [*WORDS, "dev", "--port", str(port), "--hosts", "2", "--state", str(tmp_path / "state")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(words, env=ENVIRONMENT, stderr=log)
    try:
        yield process, tmp_path / "state" / "clouds.yaml", tmp_path / "log"
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def administrator(file):
    """A client with the token that clouds.yaml leads to."""
    cloud = yaml.safe_load(file.read_text())["clouds"]["dev"]["auth"]
    user = {"name": cloud["username"], "password": cloud["password"], "domain": {"id": cloud["user_domain_id"]}}
    scope = {"project": {"name": cloud["project_name"], "domain": {"id": cloud["project_domain_id"]}}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    answer = httpx2.post(f"{cloud['auth_url']}/auth/tokens", json=body, trust_env=False, timeout=30)
    assert answer.status_code == 201, answer.text
    origin = cloud["auth_url"].removesuffix("/identity/v3")
    headers = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    return httpx2.Client(base_url=origin, headers=headers, trust_env=False, timeout=30)


def tried(call):
    try:
        return call()
    except (httpx2.TransportError, FileNotFoundError, TypeError):
        return None


@pytest.mark.slow
def test_a_server_becomes_active_and_its_port_too(dev):
    process, file, log = dev
    client = wait_for(lambda: tried(lambda: administrator(file)), 60)

    def up():
        found = client.get("/compute/v2.1/os-hypervisors").json()["hypervisors"]
        return sorted(one["hypervisor_hostname"] for one in found if one["state"] == "up") == ["h1", "h2"]

    wait_for(up)
    image = {"name": "disk", "disk_format": "raw", "container_format": "bare"}
    image_id = client.post("/image/v2/images", json=image).json()["id"]
    octets = {"Content-Type": "application/octet-stream"}
    assert client.put(f"/image/v2/images/{image_id}/file", content=bytes(1 << 20), headers=octets).status_code == 204
    network = client.post("/network/v2.0/networks", json={"network": {"name": "net"}}).json()["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24"}
    assert client.post("/network/v2.0/subnets", json={"subnet": subnet}).status_code == 201
    flavor = client.get("/compute/v2.1/flavors").json()["flavors"][0]["id"]
    server = {"name": "web", "imageRef": image_id, "flavorRef": flavor, "networks": [{"uuid": network}]}
    made = client.post("/compute/v2.1/servers", json={"server": server})
    assert made.status_code == 202, made.text
    path = f"/compute/v2.1/servers/{made.json()['server']['id']}"
    wait_for(lambda: client.get(path).json()["server"]["status"] == "ACTIVE")
    ports = "/network/v2.0/ports?device_owner=compute:nova"
    wait_for(lambda: [one["status"] for one in client.get(ports).json()["ports"]] == ["ACTIVE"])
    assert client.delete(path).status_code == 204
    wait_for(lambda: client.get(path).status_code == 404)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0, log.read_text()

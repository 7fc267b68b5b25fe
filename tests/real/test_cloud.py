"""The cloud as the lab hands it over: one URL everywhere, hosts that joined, sockets that outlive the api."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from wolke.lab.furnish import administrator

pytestmark = pytest.mark.real


def test_the_same_url_answers_outside_and_on_the_internet(lab):
    ask = f"import urllib.request; print(urllib.request.urlopen('{lab.url}/identity/v3').read().decode())"
    assert json.loads(lab.internet.run(["python3", "-c", ask]).stdout) == httpx2.get(f"{lab.url}/identity/v3").json()


def test_the_unmodified_client_sees_the_hosts(lab, openstack):
    seen = {host["Hypervisor Hostname"] for host in openstack("hypervisor", "list")}
    assert seen == {host.name for host in lab.hosts} >= {"h1", "h2"}
    assert [network["Name"] for network in openstack("network", "list", "--external", cloud="demo")] == ["public"]


def test_who_calls_while_the_api_is_away_is_answered_later(lab):
    lab.kill("api")
    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(httpx2.get, f"{lab.url}/healthz", timeout=60)
        lab.start("api")
        assert calling.result().status_code == 200


def test_up_again_changes_no_password_and_makes_nothing_twice(lab):
    before = (lab.directory / "clouds.yaml").read_text()
    lab.up()
    assert (lab.directory / "clouds.yaml").read_text() == before
    api = administrator(lab)
    assert len(api.get("/network/v2.0/networks", name="public")["networks"]) == 1
    assert len(api.get("/identity/v3/projects", name="demo")["projects"]) == 1

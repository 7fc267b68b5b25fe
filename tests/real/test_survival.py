"""A process dies in the middle of fifty creates: what was acknowledged exists and comes true, and nothing else does."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from wolke.lab import wait_for
from wolke.lab.furnish import administrator

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
NETWORKS = "/network/v2.0/networks"


@pytest.fixture
def api(lab):
    return administrator(lab).client


def switches(lab):
    """Networks that OVN has: the names of its logical switches."""
    table = json.loads(lab.ovn_nbctl("--format=json", "--columns=name", "list", "Logical_Switch"))
    return {name for [name] in table["data"]}


def known(api):
    return {network["id"]: network["name"] for network in api.get(NETWORKS).json()["networks"]}


@pytest.mark.parametrize("process", ["api", "loops", "northd", "ovn-nb", "ovn-sb"])
def test_killed_during_fifty_creates(lab, api, process):
    before = known(api)
    acknowledged: set[str] = set()
    some = threading.Event()

    def create(number: int) -> None:
        try:
            reply = api.post(NETWORKS, json={"network": {"name": f"survivor-{number}"}})
        except httpx.HTTPError:
            return  # the api was away: never acknowledged, may or may not exist
        if reply.status_code == 201:
            acknowledged.add(reply.json()["network"]["id"])
        if len(acknowledged) >= 10:
            some.set()

    with ThreadPoolExecutor(8) as pool:
        creating = [pool.submit(create, number) for number in range(50)]
        assert some.wait(60)
        lab.kill(process)
        lab.start(process)
        for one in creating:
            one.result()

    after = known(api)
    assert acknowledged <= after.keys()
    assert len(after) - len(before) <= 50
    assert wait_for(lambda: switches(lab) == known(api).keys(), 60, every=0.2), "OVN is not what the API says"
    lab.ovn_nbctl("--wait=hv", "sync")

    for id in after.keys() - before.keys():
        assert api.delete(f"{NETWORKS}/{id}").status_code == 204
    assert wait_for(lambda: switches(lab) == before.keys(), 60, every=0.2), "deleted networks are still in OVN"


def test_the_same_url_answers_outside_and_on_the_internet(lab):
    ask = f"import urllib.request; print(urllib.request.urlopen('{lab.url}/identity/v3').read().decode())"
    assert json.loads(lab.internet.run(["python3", "-c", ask]).stdout) == httpx.get(f"{lab.url}/identity/v3").json()


def test_the_unmodified_client_sees_the_hosts(lab, openstack):
    assert {host["Hypervisor Hostname"] for host in openstack("hypervisor", "list")} == {"h1", "h2"}
    assert [network["Name"] for network in openstack("network", "list", "--external", cloud="demo")] == ["public"]


def test_who_calls_while_the_api_is_away_is_answered_later(lab):
    lab.kill("api")
    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(httpx.get, f"{lab.url}/healthz", timeout=60)
        assert not calling.done()
        lab.start("api")
        assert calling.result().status_code == 200

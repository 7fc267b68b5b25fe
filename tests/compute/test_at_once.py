"""Requests for the same thing at the same moment: names and cards are given once, on both databases."""

from __future__ import annotations

from collections import Counter

from tests.compute.conftest import API


def statuses(answers):
    return Counter(answer.status_code for answer in answers)


def test_a_key_pairs_name_is_given_once(cloud):
    wish = {"keypair": {"name": "twin"}}
    answers = cloud.at_once(*[lambda api: api.post(f"{API}/os-keypairs", json=wish)] * 6)
    assert statuses(answers) == {200: 1, 409: 5}


def test_a_flavors_name_is_given_once(cloud):
    wish = {"flavor": {"name": "twin", "ram": 64, "vcpus": 1, "disk": 1}}
    answers = cloud.at_once(*[lambda api: api.post(f"{API}/flavors", json=wish)] * 6, by="admin")
    assert statuses(answers) == {200: 1, 409: 5}


def test_a_port_becomes_one_servers_card(cloud, site):
    port = cloud.member.post("/network/v2.0/ports", json={"port": {"network_id": site.network}}).json()["port"]["id"]
    body = site.body(networks=[{"port": port}])
    answers = cloud.at_once(*[lambda api: api.post(f"{API}/servers", json=body)] * 5)
    assert statuses(answers) == {202: 1, 409: 4}


def test_a_server_in_two_deletions_is_deleted_once(cloud, site):
    id = site.run()
    answers = cloud.at_once(*[lambda api: api.delete(f"{API}/servers/{id}")] * 4)
    assert set(statuses(answers)) <= {204, 404} and statuses(answers)[204] >= 1
    cloud.settle()
    assert cloud.member.get(f"{API}/servers/{id}").status_code == 404
    ports = cloud.member.get("/network/v2.0/ports").json()["ports"]
    assert [port["device_owner"] for port in ports] == ["network:distributed"]

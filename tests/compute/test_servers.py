"""The life of a server: asked for, scheduled, run, changed, stopped, gone."""

from __future__ import annotations

from tests.compute.conftest import API, Site


def test_a_server_is_accepted_then_scheduled_then_runs(site: Site) -> None:
    answer = site.post()
    assert answer.status_code == 202
    made = answer.json()["server"]
    assert set(made) == {"id", "links", "OS-DCF:diskConfig", "security_groups", "adminPass"}
    assert answer.headers["Location"] == made["links"][0]["href"]
    before = site.show(made["id"])
    assert (before["status"], before["OS-EXT-STS:task_state"]) == ("BUILD", "scheduling")

    site.cloud.add_host("h1")
    site.cloud.settle()
    after = site.show(made["id"])
    assert (after["status"], after["OS-EXT-STS:vm_state"], after["OS-EXT-STS:power_state"]) == ("ACTIVE", "active", 1)
    [address] = after["addresses"]["red-net"]
    assert address["addr"].startswith("10.0.") and address["OS-EXT-IPS:type"] == "fixed"


def test_no_room_is_an_error_that_says_so(site: Site) -> None:
    site.cloud.add_host("small", ram_mib=128)
    id = site.create()
    site.cloud.settle()
    shown = site.show(id)
    assert shown["status"] == "ERROR"
    assert "No valid host" in shown["fault"]["message"]


def test_deleting_frees_addresses_at_once_and_the_guest_soon(site: Site) -> None:
    id = site.run()
    assert site.cloud.member.delete(f"{API}/servers/{id}").status_code == 204
    ports = site.cloud.member.get("/network/v2.0/ports", params={"device_id": id}).json()["ports"]
    assert ports == []
    assert site.show(id)["OS-EXT-STS:task_state"] == "deleting"
    site.cloud.settle()
    assert site.cloud.member.get(f"{API}/servers/{id}").status_code == 404


def test_a_server_without_host_goes_at_once(site: Site) -> None:
    id = site.create()
    assert site.cloud.member.delete(f"{API}/servers/{id}").status_code == 204
    assert site.cloud.member.get(f"{API}/servers/{id}").status_code == 404
    assert site.cloud.member.get(f"{API}/servers").json()["servers"] == []

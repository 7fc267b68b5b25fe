"""The life of a server: asked for, scheduled, run, changed, stopped, gone."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from tests.compute.conftest import API, Site, image
from tests.conftest import Cloud

At = Callable[[str], dict[str, str]]


def ports(site: Site, **query: str) -> list[dict[str, Any]]:
    return list(site.cloud.member.get("/network/v2.0/ports", params=query).json()["ports"])


# Creating ---------------------------------------------------------------------------------------------------------
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


def test_several_at_once_are_numbered_and_share_a_reservation(site: Site) -> None:
    answer = site.post(min_count=2, max_count=3, return_reservation_id=True)
    reservation = answer.json()["reservation_id"]
    found = site.cloud.member.get(f"{API}/servers/detail", params={"reservation_id": reservation}).json()["servers"]
    assert sorted(server["name"] for server in found) == ["web-1", "web-2", "web-3"]
    assert len({address["addr"] for server in found for address in server["addresses"]["red-net"]}) == 3


def test_quota_gives_as_many_as_it_can_but_never_fewer_than_asked(site: Site) -> None:
    answer = site.post(min_count=2, max_count=50)
    assert answer.status_code == 202
    assert len(site.cloud.member.get(f"{API}/servers").json()["servers"]) == 10
    refused = site.post()
    assert refused.status_code == 403
    assert refused.json()["forbidden"]["message"] == (
        "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances"
    )


def test_networks_auto_none_by_address_and_by_port(site: Site, at: At) -> None:
    port = site.cloud.member.post("/network/v2.0/ports", json={"port": {"network_id": site.network}}).json()["port"]
    auto = site.post(version="2.37", networks="auto").json()["server"]["id"]
    none = site.post(version="2.37", networks="none").json()["server"]["id"]
    fixed = site.create(networks=[{"uuid": site.network, "fixed_ip": "10.0.7.7"}])
    given = site.create(networks=[{"port": port["id"]}, {"uuid": site.network}])
    assert len(ports(site, device_id=auto)) == 1
    assert ports(site, device_id=none) == [] and site.show(none)["addresses"] == {}
    assert [a["addr"] for a in site.show(fixed)["addresses"]["red-net"]] == ["10.0.7.7"]
    assert port["id"] in {one["id"] for one in ports(site, device_id=given)}
    assert len(ports(site, device_id=given)) == 2
    assert site.post(version="2.37").status_code == 400  # networks are required from here on


def test_two_networks_are_ambiguous(site: Site) -> None:
    site.cloud.member.post("/network/v2.0/networks", json={"network": {"name": "another"}})
    assert site.post().status_code == 409


def test_a_port_that_was_given_is_given_back(site: Site) -> None:
    port = site.cloud.member.post("/network/v2.0/ports", json={"port": {"network_id": site.network}}).json()["port"]
    id = site.run(networks=[{"port": port["id"]}, {"uuid": site.network}])
    site.cloud.member.delete(f"{API}/servers/{id}")
    site.cloud.settle()
    [left] = [one for one in ports(site, network_id=site.network) if not one["device_owner"].startswith("network:")]
    assert (left["id"], left["device_id"], left["device_owner"]) == (port["id"], "", "")


def test_what_was_sent_arrives_at_the_host(site: Site) -> None:
    site.cloud.member.post(f"{API}/os-keypairs", json={"keypair": {"name": "k", "public_key": ED25519}})
    script = base64.b64encode(b"#!/bin/sh\necho hello\n").decode()
    id = site.run(key_name="k", user_data=script, metadata={"role": "web"}, adminPass="s3cret", name="My Web_1")
    [wanted] = site.cloud.hosts["h1"].link.wanted(0).servers
    assert wanted.id == id
    assert wanted.metadata.keys == {"k": ED25519}
    assert wanted.metadata.user_data == b"#!/bin/sh\necho hello\n"
    assert wanted.metadata.meta == {"role": "web"}
    assert wanted.metadata.admin_pass == "s3cret"
    assert wanted.metadata.hostname.split(".")[0] == "my-web-1"
    with site.cloud.app.database.read() as db:
        from wolke.compute.servers.table import Server

        row = db.get(Server, id)
        assert row and script not in row.user_data and "s3cret" not in row.admin_pass  # sealed


def test_image_and_flavor_must_fit(site: Site) -> None:
    large = image(site.cloud, min_disk=5)
    hungry = image(site.cloud, min_ram=4096)
    saving = image(site.cloud, data="saving")
    vmdk = image(site.cloud, disk_format="vmdk")
    hidden = image(site.cloud, visibility="private", project_id="2" * 32)
    for refused, words in (
        (large, "disk is smaller"), (hungry, "memory is too small"), (saving, "not active"), (vmdk, "vmdk"),
        (hidden, "Can not find"),
    ):  # fmt: skip
        answer = site.post(imageRef=refused)
        assert answer.status_code == 400 and words in answer.json()["badRequest"]["message"]


def test_an_image_as_boot_device_is_the_image_and_a_volume_is_refused(site: Site) -> None:
    device = {"source_type": "image", "destination_type": "local", "boot_index": 0, "uuid": site.image}
    assert site.post(block_device_mapping_v2=[device]).status_code == 202
    volume = {**device, "destination_type": "volume", "volume_size": 1}
    answer = site.post(block_device_mapping_v2=[volume])
    assert answer.status_code == 400 and "no volumes" in answer.json()["badRequest"]["message"]


def test_an_operator_names_the_host_and_others_may_not(site: Site) -> None:
    site.cloud.add_host("h1")
    site.cloud.add_host("h2")
    assert site.post(availability_zone="nova:h2").status_code == 403
    assert site.post(site.cloud.admin, availability_zone="nova:h9").status_code == 400
    id = site.create(site.cloud.admin, availability_zone="nova:h2")
    site.cloud.settle()
    assert site.show(id, site.cloud.admin)["OS-EXT-SRV-ATTR:host"] == "h2"
    assert "OS-EXT-SRV-ATTR:host" not in site.show(id)
    with_host = site.post(site.cloud.admin, "2.74", host="h1", networks="auto")
    site.cloud.settle()
    assert site.show(with_host.json()["server"]["id"], site.cloud.admin)["OS-EXT-SRV-ATTR:host"] == "h1"


def test_an_anti_affinity_group_spreads_and_then_is_full(site: Site) -> None:
    site.cloud.add_host("h1")
    site.cloud.add_host("h2")
    body = {"server_group": {"name": "spread", "policies": ["anti-affinity"]}}
    group = site.cloud.member.post(f"{API}/os-server-groups", json=body).json()["server_group"]["id"]
    hinted = {**site.body(max_count=3), "os:scheduler_hints": {"group": group}}
    site.cloud.member.post(f"{API}/servers", json=hinted)
    site.cloud.settle()
    found = site.cloud.admin.get(f"{API}/servers/detail").json()["servers"]
    assert sorted((s["status"], s["OS-EXT-SRV-ATTR:host"]) for s in found) == [
        ("ACTIVE", "h1"), ("ACTIVE", "h2"), ("ERROR", None),
    ]  # fmt: skip
    members = site.cloud.member.get(f"{API}/os-server-groups/{group}").json()["server_group"]["members"]
    assert sorted(members) == sorted(server["id"] for server in found)


# Deleting ---------------------------------------------------------------------------------------------------------
def test_deleting_frees_addresses_at_once_and_the_guest_soon(site: Site) -> None:
    id = site.run()
    assert site.cloud.member.delete(f"{API}/servers/{id}").status_code == 204
    assert ports(site, device_id=id) == []
    assert site.show(id)["OS-EXT-STS:task_state"] == "deleting"
    site.cloud.settle()
    assert site.cloud.member.get(f"{API}/servers/{id}").status_code == 404
    assert site.cloud.hosts["h1"].link.wanted(0).servers == ()


def test_a_server_without_host_goes_at_once(site: Site) -> None:
    id = site.create()
    assert site.cloud.member.delete(f"{API}/servers/{id}").status_code == 204
    assert site.cloud.member.get(f"{API}/servers/{id}").status_code == 404
    assert site.cloud.member.get(f"{API}/servers").json()["servers"] == []


def test_what_is_gone_is_told_to_those_who_ask_for_changes_and_forgotten_after_a_month(site: Site, at: At) -> None:
    id = site.run()
    site.cloud.member.delete(f"{API}/servers/{id}")
    site.cloud.settle()
    changes = {"changes-since": "2020-01-01T00:00:00Z"}
    [gone] = site.cloud.member.get(f"{API}/servers/detail", params=changes).json()["servers"]
    assert (gone["id"], gone["status"]) == (id, "DELETED")
    [deleted] = site.cloud.admin.get(f"{API}/servers", params={"deleted": "true"}).json()["servers"]
    assert deleted["id"] == id
    url = f"{API}/servers/{id}/os-instance-actions"
    assert site.cloud.member.get(url).status_code == 404
    actions = site.cloud.member.get(url, headers=at("2.21")).json()["instanceActions"]
    assert [action["action"] for action in actions] == ["delete", "create"]
    site.cloud.now += 31 * 86400
    site.cloud.settle()
    assert site.cloud.member.get(f"{API}/servers", params=changes).json()["servers"] == []


# Power ------------------------------------------------------------------------------------------------------------
def test_stop_start_and_reboot(site: Site) -> None:
    id = site.run()
    assert site.act(id, "os-start").status_code == 409
    assert site.act(id, "os-stop").status_code == 202
    assert site.show(id)["OS-EXT-STS:task_state"] == "powering-off"
    site.cloud.settle()
    assert site.show(id)["status"] == "SHUTOFF"
    assert site.act(id, "reboot", {"type": "SOFT"}).status_code == 409
    assert site.act(id, "os-start").status_code == 202
    assert site.show(id)["OS-EXT-STS:task_state"] == "powering-on"
    site.cloud.settle()
    assert site.show(id)["status"] == "ACTIVE"
    assert site.act(id, "reboot", {"type": "HARD"}).status_code == 202
    assert site.show(id)["status"] == "HARD_REBOOT"
    site.cloud.settle()
    assert site.show(id)["status"] == "ACTIVE"


def test_a_guest_that_shuts_itself_down_is_shutoff_and_can_be_started(site: Site) -> None:
    id = site.run()
    site.cloud.hosts["h1"].hypervisor.stop(id)
    site.cloud.settle()
    assert site.show(id)["status"] == "SHUTOFF"
    assert site.act(id, "os-start").status_code == 202
    site.cloud.settle()
    assert site.show(id)["status"] == "ACTIVE"


def test_a_lost_host_leaves_its_servers_active_and_says_so_to_operators(site: Site) -> None:
    id = site.run()
    assert site.show(id, site.cloud.admin, "2.16")["host_status"] == "UP"
    site.cloud.now += 3600
    shown = site.show(id, site.cloud.admin, "2.16")
    assert (shown["status"], shown["host_status"]) == ("ACTIVE", "UNKNOWN")
    assert "host_status" not in site.show(id, version="2.16")


def test_a_server_that_is_being_built_is_not_stopped(site: Site) -> None:
    id = site.create()
    answer = site.act(id, "os-stop")
    assert answer.status_code == 409
    assert "vm_state building" in answer.json()["conflictingRequest"]["message"]


def test_a_lock_holds_against_all_but_admins(site: Site) -> None:
    id = site.run()
    assert site.act(id, "lock", {"locked_reason": "mine"}, version="2.73").status_code == 202
    assert site.show(id, version="2.73")["locked_reason"] == "mine"
    for refused in (
        site.act(id, "os-stop"), site.act(id, "reboot", {"type": "SOFT"}), site.cloud.member.delete(f"{API}/servers/{id}"),
        site.cloud.member.post(f"{API}/servers/{id}/metadata", json={"metadata": {"a": "b"}}),
        site.cloud.member.post(f"{API}/servers/{id}/os-interface", json={}),
    ):  # fmt: skip
        assert refused.status_code == 409 and "is locked" in refused.text
    assert site.act(id, "unlock").status_code == 202
    assert site.act(id, "lock", client=site.cloud.admin).status_code == 202
    assert site.act(id, "unlock").status_code == 403
    assert site.act(id, "os-stop", client=site.cloud.admin).status_code == 202


@pytest.mark.parametrize("name", ["resize", "rebuild", "createImage", "changePassword", "os-migrateLive", "shelve"])
def test_what_is_not_provided_says_so(site: Site, name: str) -> None:
    answer = site.act(site.create(), name, {})
    assert answer.status_code == 501
    assert answer.json()["notImplemented"]["message"] == f"The action {name} is not provided by this cloud."
    assert name not in site.cloud.nobody.get("/openapi.json").text


# Changing ---------------------------------------------------------------------------------------------------------
def test_a_server_is_renamed_and_described(site: Site, at: At) -> None:
    id = site.run()
    body = {"server": {"name": "new", "description": "d", "accessIPv4": "192.0.2.1", "accessIPv6": "2001:DB8::1"}}
    shown = site.cloud.member.put(f"{API}/servers/{id}", json=body, headers=at("2.19")).json()["server"]
    assert (shown["name"], shown["description"], shown["accessIPv4"], shown["accessIPv6"]) == (
        "new", "d", "192.0.2.1", "2001:db8::1",
    )  # fmt: skip
    assert "OS-EXT-STS:vm_state" not in shown
    again = site.cloud.member.put(f"{API}/servers/{id}", json={"server": {"name": "x"}}, headers=at("2.75"))
    assert again.json()["server"]["OS-EXT-STS:vm_state"] == "active"


def test_metadata_items(site: Site) -> None:
    id = site.run(metadata={"a": "1"})
    url = f"{API}/servers/{id}/metadata"
    member = site.cloud.member
    assert member.post(url, json={"metadata": {"b": "2"}}).json() == {"metadata": {"a": "1", "b": "2"}}
    assert member.put(f"{url}/a", json={"meta": {"a": "3"}}).json() == {"meta": {"a": "3"}}
    assert member.put(f"{url}/a", json={"meta": {"z": "3"}}).status_code == 400
    assert member.get(f"{url}/a").json() == {"meta": {"a": "3"}}
    assert member.delete(f"{url}/a").status_code == 204
    assert member.get(f"{url}/a").status_code == 404
    assert member.put(url, json={"metadata": {"c": "4"}}).json() == {"metadata": {"c": "4"}}
    assert member.get(url).json() == {"metadata": {"c": "4"}}
    many = {f"k{number}": "v" for number in range(128)}
    assert member.post(url, json={"metadata": many}).status_code == 403
    site.cloud.settle()
    [wanted] = site.cloud.hosts["h1"].link.wanted(0).servers
    assert wanted.metadata.meta == {"c": "4"}


def test_tags(site: Site, at: At) -> None:
    id = site.post(version="2.52", networks="auto", tags=["a", "b", "a"]).json()["server"]["id"]
    site.cloud.add_host("h1")
    site.cloud.settle()
    url, member, new = f"{API}/servers/{id}/tags", site.cloud.member, at("2.26")
    assert member.get(url, headers=new).json() == {"tags": ["a", "b"]}
    assert member.put(f"{url}/c", headers=new).status_code == 201
    assert member.put(f"{url}/c", headers=new).status_code == 204
    assert member.get(f"{url}/c", headers=new).status_code == 204
    assert member.delete(f"{url}/c", headers=new).status_code == 204
    assert member.get(f"{url}/c", headers=new).status_code == 404
    assert member.put(url, json={"tags": ["x", "y"]}, headers=new).json() == {"tags": ["x", "y"]}
    assert member.put(url, json={"tags": [f"t{n}" for n in range(51)]}, headers=new).status_code == 400
    assert member.delete(url, headers=new).status_code == 204
    assert site.show(id, version="2.26")["tags"] == []
    assert member.get(url).status_code == 404  # before 2.26 there are none


def test_the_password_is_shown_until_it_is_cleared(site: Site) -> None:
    id = site.run()
    url = f"{API}/servers/{id}/os-server-password"
    assert site.cloud.member.get(url).json() == {"password": ""}
    agent = site.cloud.hosts["h1"].agent
    agent.notes.password(id, "encrypted")
    agent.guests.look_around()
    agent.report()
    assert site.cloud.member.get(url).json() == {"password": "encrypted"}
    assert site.cloud.member.delete(url).status_code == 204
    agent.sent = None
    agent.report()  # the host goes on telling it
    assert site.cloud.member.get(url).json() == {"password": ""}


def test_others_see_nothing_of_it(site: Site) -> None:
    id = site.run()
    stranger = site.cloud.stranger
    assert stranger.get(f"{API}/servers").json()["servers"] == []
    for path in ("", "/metadata", "/os-interface", "/ips", "/os-instance-actions", "/os-security-groups"):
        assert stranger.get(f"{API}/servers/{id}{path}").status_code == 404
    assert site.act(id, "os-stop", client=stranger).status_code == 404
    assert stranger.delete(f"{API}/servers/{id}").status_code == 404
    assert site.act(id, "os-stop", client=site.cloud.reader).status_code == 403
    assert site.cloud.reader.get(f"{API}/servers/{id}").status_code == 200


def test_a_call_that_is_refused_leaves_no_port_behind(cloud: Cloud) -> None:
    site = Site(cloud)
    before = ports(site)
    wanted = [{"uuid": site.network}, {"uuid": site.network, "fixed_ip": "192.0.2.9"}]
    assert site.post(networks=wanted).status_code == 400
    assert ports(site) == before


ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIM+qxjVMkPqVAk8jyOOcnBBCFYVwfZ0hUTYE8M6bVtf somebody"

"""What a host is told is its own slice, whole; what it tells becomes the seen columns."""

from __future__ import annotations

import base64
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from wolke.compute.hosts.seen import record
from wolke.compute.hosts.wanted import link_local
from wolke.wire import seen
from wolke.wire.seen import Seen, State
from wolke.wire.wanted import Power


@contextmanager
def statements(cloud):
    """Counts what is sent to the database."""
    sent: list[str] = []
    note = lambda conn, cursor, statement, *rest: sent.append(statement)  # noqa: E731
    event.listen(cloud.app.database.engine, "before_cursor_execute", note)
    yield sent
    event.remove(cloud.app.database.engine, "before_cursor_execute", note)


def test_a_slice_holds_everything_that_a_guest_needs(cloud, farm):
    cloud.add_host("h1")
    vault, network = cloud.app.vault, farm.network()
    port, second = farm.port(network), farm.port(network)
    image = farm.image(b"bytes", properties={"hw_disk_bus": "scsi", "team": "red"})
    id = farm.server(
        second["id"], port["id"], image=image, name="web", hostname="web", key_name="k", public_key="ssh-ed25519 AA", meta={"a": "b"},
        user_data=vault.seal(base64.b64encode(b"#!/bin/sh")), admin_pass=vault.seal(b"secret"), config_drive=True,
    )  # fmt: skip
    cloud.settle()
    [server] = farm.slice("h1").servers
    assert (server.id, server.power, server.config_drive, server.hints) == (
        id,
        Power.RUNNING,
        True,
        {"hw_disk_bus": "scsi"},
    )
    assert (server.disk.image.id, server.disk.image.size, server.disk.size_gib) == (image, 5, 1)
    assert [(nic.port_id, nic.mac) for nic in server.nics] == [
        (one["id"], one["mac_address"]) for one in (second, port)
    ]
    told = server.metadata
    assert (told.hostname, told.user_data, told.admin_pass) == ("web.cloud.internal", b"#!/bin/sh", "secret")
    assert (told.keys, told.meta, told.security_groups) == ({"k": "ssh-ed25519 AA"}, {"a": "b"}, ["default"])
    assert [link["ethernet_mac_address"] for link in told.network_data["links"]] == [nic.mac for nic in server.nics]
    [metadata] = farm.slice("h1").metadata_ports
    addresses = [one["fixed_ips"][0]["ip_address"] for one in (second, port)]
    assert metadata.network_id == network
    assert metadata.servers == dict.fromkeys([*addresses, *(link_local(nic.mac) for nic in server.nics)], id)
    assert metadata.addresses[0].endswith("/24")


def test_a_guest_asks_for_metadata_on_the_networks_of_its_trunk_too(cloud, farm):
    cloud.add_host("h1")
    base = "/network/v2.0"
    plain, tagged = farm.network(), farm.network()
    parent, subport = farm.port(plain), farm.port(tagged)
    id = farm.server(parent["id"])
    body = {"trunk": {"port_id": parent["id"]}}
    trunk = cloud.member.post(f"{base}/trunks", json=body).json()["trunk"]

    def asked():
        cloud.settle()
        return {port.network_id: port.servers for port in farm.slice("h1").metadata_ports}

    assert asked().keys() == {plain}
    before = farm.slice("h1").revision
    body = {"sub_ports": [{"port_id": subport["id"], "segmentation_type": "vlan", "segmentation_id": 5}]}
    cloud.member.put(f"{base}/trunks/{trunk['id']}/add_subports", json=body)
    addresses = [subport["fixed_ips"][0]["ip_address"], link_local(subport["mac_address"])]
    assert asked()[tagged] == dict.fromkeys(addresses, id) and farm.slice("h1").revision > before
    cloud.member.put(f"{base}/ports/{subport['id']}", json={"port": {"fixed_ips": [{"ip_address": "10.0.0.77"}]}})
    assert "10.0.0.77" in asked()[tagged]
    cloud.member.put(f"{base}/trunks/{trunk['id']}/remove_subports", json=body)
    assert asked().keys() == {plain}


def test_a_host_is_told_of_its_own_servers_only(cloud, farm):
    for name in ("h1", "h2"):
        cloud.add_host(name)
    network = farm.network()
    there = {name: farm.server(farm.port(network)["id"], host_wanted=name) for name in ("h1", "h2")}
    cloud.settle()
    for name, id in there.items():
        mine = farm.slice(name)
        assert [server.id for server in mine.servers] == [id]
        assert {id for port in mine.metadata_ports for id in port.servers.values()} == {id}
    assert farm.slice("nobody").servers == ()


def test_a_slice_costs_the_same_statements_however_many_servers(cloud, farm):
    cloud.add_host("h1")
    network = farm.network()

    def cost():
        cloud.settle()
        with statements(cloud) as sent:
            farm.slice("h1")
        return len(sent)

    farm.server(farm.port(network)["id"])
    one = cost()
    for _ in range(5):
        farm.server(farm.port(network)["id"])
    assert cost() == one


def test_a_picture_that_says_nothing_new_writes_one_row(cloud, farm):
    host = cloud.add_host("h1")
    for _ in range(5):
        farm.server()
    cloud.settle()
    with statements(cloud) as sent:
        host.link.seen(host.agent.sent)
        cloud.now += 1
        host.link.seen(host.agent.sent)
    writes = [one for one in sent if one.startswith(("UPDATE", "INSERT", "DELETE"))]
    assert len(writes) == 1 and writes[0].startswith("UPDATE host")


def test_seen_columns_leave_the_wish_alone(cloud, farm):
    cloud.add_host("h1")
    id = farm.server()
    before = farm.row(id)
    cloud.settle()
    after = farm.row(id)
    assert (after.revision, after.updated_at) == (before.revision, before.updated_at)
    assert (after.seen_revision, after.seen_state, after.seen_boot) == (after.revision, "running", 1)
    assert after.launched_at == cloud.now
    assert farm.actions(id) == {"create": ""}


def test_a_host_that_cannot_is_heard(cloud, farm):
    host = cloud.add_host("h1")
    id = farm.server(image=farm.image(os_hash_value="0" * 128))
    cloud.settle()
    assert farm.row(id).seen_error == "The image arrived damaged."
    assert farm.actions(id) == {"create": "The image arrived damaged."}
    assert host.hypervisor.machines == {}


def test_an_action_ends_when_the_host_has_answered(cloud, farm):
    host = cloud.add_host("h1")
    id = farm.server()
    cloud.settle()
    host.hypervisor.ignores_acpi.add(id)
    farm.change(id, "stop", power="stopped")
    cloud.settle()
    assert farm.actions(id) == {"create": "", "stop": None}
    cloud.now += 61  # the guest has had its minute
    cloud.settle()
    assert farm.actions(id) == {"create": "", "stop": ""}
    assert farm.row(id).seen_state == "defined"


def test_a_server_goes_when_its_host_says_so_and_its_ports_with_it(cloud, farm):
    host = cloud.add_host("h1")
    network = farm.network()
    lent, own = farm.port(network), farm.port(network)
    id = farm.server(lent["id"])
    made = farm.server(own["id"], owned=True)
    cloud.settle()
    host.link.away = True
    for one in (id, made):
        farm.change(one, "delete", deleting=True)
    cloud.settle()
    assert not farm.row(id).deleted_at
    host.link.away = False
    cloud.settle()
    assert (farm.row(id).deleted_at, farm.row(id).host, farm.actions(id)["delete"]) == (cloud.now, "", "")
    assert host.hypervisor.machines == {} and host.disks.roots == {}
    port = cloud.admin.get(f"/network/v2.0/ports/{lent['id']}").json()["port"]
    assert (port["device_id"], port["binding:host_id"], port["status"]) == ("", "", "DOWN")
    assert cloud.admin.get(f"/network/v2.0/ports/{own['id']}").status_code == 404
    assert farm.slice("h1").servers == ()


def test_a_host_need_not_think_of_what_it_has_removed(cloud, farm):
    host = cloud.add_host("h1")
    id = farm.server()
    cloud.settle()
    farm.change(id, deleting=True)
    cloud.settle()
    assert host.agent.wanted.servers == () and host.agent.sent.removed == ()


def test_a_host_cannot_speak_for_anothers_servers(cloud, farm):
    for name in ("h1", "h2"):
        cloud.add_host(name)
    id = farm.server(host_wanted="h1")
    cloud.settle()
    farm.change(id, deleting=True)
    lie = seen.Server(id=id, state=State.CRASHED, boot=9, revision=9, error="lies")
    picture = Seen(
        host="h2", agent="0", revision=1, capacity=cloud.hosts["h2"].hypervisor.capacity(), chassis="h2", hypervisor="qemu",
        address="127.0.0.1:9", servers=(lie,), removed=(id,),
    )  # fmt: skip
    with cloud.app.database.transaction() as db:
        record(db, picture)
    row = farm.row(id)
    assert (row.host, row.deleted_at, row.seen_state, row.seen_error) == ("h1", 0.0, "running", "")


def test_a_server_that_nobody_asked_to_delete_is_not_forgotten(cloud, farm):
    host = cloud.add_host("h1")
    id = farm.server()
    cloud.settle()
    sent = host.agent.sent
    with cloud.app.database.transaction() as db:
        record(db, Seen(**{name: getattr(sent, name) for name in sent.__slots__} | {"removed": (id,), "servers": ()}))
    assert (farm.row(id).host, farm.row(id).deleted_at) == ("h1", 0.0)


def test_a_new_host_gets_its_ids_once(cloud, farm):
    host = cloud.add_host("h1")
    first = farm.host("h1")
    assert first.service_id and first.hypervisor_id and first.vcpus == 16
    cloud.now += 60
    host.step()
    assert farm.host("h1").service_id == first.service_id


@pytest.mark.parametrize(
    "mac, address", [("fa:16:3e:12:34:56", "fe80::f816:3eff:fe12:3456"), ("02:00:00:00:00:01", "fe80::ff:fe00:1")]
)
def test_link_local_addresses(mac, address):
    assert link_local(mac) == address

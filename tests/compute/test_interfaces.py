"""Network cards and security groups of servers, changed while they run."""

from __future__ import annotations

from typing import Any

from tests.compute.conftest import API, Site
from tests.conftest import RED


def plugged(site: Site, id: str) -> tuple[str, ...]:
    [guest] = [one for one in site.cloud.hosts["h1"].hypervisor.observe() if one.id == id]
    return guest.nics


def test_a_card_is_plugged_and_pulled(site: Site) -> None:
    id = site.run()
    url = f"{API}/servers/{id}/os-interface"
    member = site.cloud.member
    wanted = {"interfaceAttachment": {"net_id": site.network, "fixed_ips": [{"ip_address": "10.0.9.9"}]}}
    made = member.post(url, json=wanted).json()["interfaceAttachment"]
    assert (made["net_id"], made["fixed_ips"][0]["ip_address"]) == (site.network, "10.0.9.9")
    site.cloud.settle()
    assert made["port_id"] in plugged(site, id)
    assert member.get(f"{url}/{made['port_id']}").json()["interfaceAttachment"]["port_state"] == "ACTIVE"
    assert len(member.get(url).json()["interfaceAttachments"]) == 2
    assert len(member.get(f"{API}/servers/{id}/ips").json()["addresses"]["red-net"]) == 2
    assert member.delete(f"{url}/{made['port_id']}").status_code == 202
    site.cloud.settle()
    assert made["port_id"] not in plugged(site, id)
    assert member.get(f"{url}/{made['port_id']}").status_code == 404
    assert member.get(f"/network/v2.0/ports/{made['port_id']}").status_code == 404
    actions = member.get(f"{API}/servers/{id}/os-instance-actions").json()["instanceActions"]
    assert [one["action"] for one in actions] == ["detach_interface", "attach_interface", "create"]


def test_a_port_deleted_in_the_network_is_pulled_out_of_the_guest(site: Site) -> None:
    id = site.run()
    [port] = plugged(site, id)
    assert site.cloud.member.delete(f"/network/v2.0/ports/{port}").status_code == 204
    site.cloud.settle()
    assert plugged(site, id) == ()
    assert site.show(id)["addresses"] == {}


def test_a_port_is_nobody_elses(site: Site) -> None:
    first, second = site.run(), site.run()
    [port] = plugged(site, first)
    body = {"interfaceAttachment": {"port_id": port}}
    assert site.cloud.member.post(f"{API}/servers/{second}/os-interface", json=body).status_code == 409
    assert site.cloud.member.delete(f"{API}/servers/{second}/os-interface/{port}").status_code == 404


def test_a_floating_address_shows_beside_the_fixed_one(site: Site) -> None:
    admin = site.cloud.admin
    public = {
        "name": "public",
        "router:external": True,
        "provider:network_type": "flat",
        "provider:physical_network": "public",
    }
    net = admin.post("/network/v2.0/networks", json={"network": public}).json()["network"]["id"]
    subnet = {"network_id": net, "cidr": "198.51.100.0/24", "ip_version": 4}
    assert admin.post("/network/v2.0/subnets", json={"subnet": subnet}).status_code == 201
    router = {"name": "r", "external_gateway_info": {"network_id": net}}
    router_id = admin.post("/network/v2.0/routers", json={"router": router}).json()["router"]["id"]
    inside = admin.get("/network/v2.0/subnets", params={"network_id": site.network}).json()["subnets"][0]["id"]
    admin.put(f"/network/v2.0/routers/{router_id}/add_router_interface", json={"subnet_id": inside})
    id = site.run(networks=[{"uuid": site.network}])
    [port] = plugged(site, id)
    floating = admin.post(
        "/network/v2.0/floatingips", json={"floatingip": {"floating_network_id": net, "port_id": port}}
    )
    assert floating.status_code == 201, floating.text
    fixed, outside = site.show(id)["addresses"]["red-net"]
    assert (fixed["OS-EXT-IPS:type"], outside["OS-EXT-IPS:type"]) == ("fixed", "floating")
    assert outside["addr"].startswith("198.51.100.")


# Security groups --------------------------------------------------------------------------------------------------
def group(site: Site, name: str) -> str:
    made = site.cloud.member.post("/network/v2.0/security-groups", json={"security_group": {"name": name}})
    return str(made.json()["security_group"]["id"])


def in_port_group(site: Site, group_id: str, port_id: str) -> bool:
    """Whether OVN has the port in the group."""
    row = site.cloud.north.table["Logical_Switch_Port", port_id]
    return ("Port_Group", f"pg_{group_id.replace('-', '_')}", "ports") in row.parents


def test_groups_are_put_on_and_taken_off(site: Site) -> None:
    web = group(site, "web")
    id = site.run()
    assert site.show(id)["security_groups"] == [{"name": "default"}]
    assert site.act(id, "addSecurityGroup", {"name": "web"}).status_code == 202
    assert site.act(id, "addSecurityGroup", {"name": web}).status_code == 202  # again, by id
    assert site.show(id)["security_groups"] == [{"name": "default"}, {"name": "web"}]
    shown = site.cloud.member.get(f"{API}/servers/{id}/os-security-groups").json()["security_groups"]
    assert {one["id"] for one in shown} >= {web}
    site.cloud.settle()
    [port] = plugged(site, id)
    assert in_port_group(site, web, port)
    assert site.act(id, "removeSecurityGroup", {"name": "web"}).status_code == 202
    assert site.show(id)["security_groups"] == [{"name": "default"}]
    assert site.act(id, "removeSecurityGroup", {"name": "web"}).status_code == 404
    assert site.act(id, "addSecurityGroup", {"name": "none-such"}).status_code == 404
    site.cloud.settle()
    assert not in_port_group(site, web, port)


def test_groups_that_do_not_mix_and_groups_of_others(site: Site) -> None:
    id, web = site.run(), group(site, "web")
    body = {"security_group": {"name": "plain", "stateful": False}}
    assert site.cloud.member.post("/network/v2.0/security-groups", json=body).status_code == 201
    assert site.act(id, "addSecurityGroup", {"name": "plain"}).status_code == 409
    assert site.show(id)["security_groups"] == [{"name": "default"}]
    theirs = site.cloud.stranger.post("/network/v2.0/security-groups", json={"security_group": {"name": "theirs"}})
    shared = theirs.json()["security_group"]["id"]
    assert site.act(id, "addSecurityGroup", {"name": shared}).status_code == 404
    policy = {"object_type": "security_group", "object_id": shared, "target_tenant": RED, "action": "access_as_shared"}
    made = site.cloud.stranger.post("/network/v2.0/rbac-policies", json={"rbac_policy": policy})
    assert made.status_code == 201, made.text
    for name in (shared, "web"):
        assert site.act(id, "addSecurityGroup", {"name": name}).status_code == 202
    site.cloud.settle()
    [port] = plugged(site, id)
    assert in_port_group(site, shared, port) and in_port_group(site, web, port)


def test_groups_at_create(site: Site) -> None:
    group(site, "web")
    group(site, "twice")
    group(site, "twice")
    id = site.create(security_groups=[{"name": "web"}, {"name": "default"}])
    assert site.show(id)["security_groups"] == [{"name": "default"}, {"name": "web"}]
    assert site.post(security_groups=[{"name": "none-such"}]).status_code == 400
    assert site.post(security_groups=[{"name": "twice"}]).status_code == 409


def test_older_clients_manage_groups_through_compute(site: Site) -> None:
    member: Any = site.cloud.member
    url = f"{API}/os-security-groups"
    body = {"security_group": {"name": " web ", "description": "d"}}
    made = member.post(url, json=body).json()["security_group"]
    assert (made["name"], made["description"], made["rules"]) == (" web ", "d", [])
    assert made in member.get(url).json()["security_groups"]
    assert member.get(f"{url}/{made['id']}").json()["security_group"] == made
    rule = {
        "parent_group_id": made["id"], "ip_protocol": "tcp", "from_port": "22", "to_port": "22", "cidr": "10.0.0.0/8",
    }  # fmt: skip
    added = member.post(f"{API}/os-security-group-rules", json={"security_group_rule": rule})
    assert added.status_code == 200, added.text
    [shown] = member.get(f"{url}/{made['id']}").json()["security_group"]["rules"]
    assert (shown["ip_protocol"], shown["from_port"], shown["ip_range"]) == ("tcp", 22, {"cidr": "10.0.0.0/8"})
    assert member.delete(f"{API}/os-security-group-rules/{shown['id']}").status_code == 202
    changed = member.put(f"{url}/{made['id']}", json={"security_group": {"name": "n", "description": "e"}})
    assert changed.json()["security_group"]["name"] == "n"
    id = site.run(security_groups=[{"name": "n"}])
    assert member.delete(f"{url}/{made['id']}").status_code == 400  # in use
    member.delete(f"{API}/servers/{id}")
    assert member.delete(f"{url}/{made['id']}").status_code == 202
    assert member.get(f"{url}/{made['id']}").status_code == 404
    default = next(one["id"] for one in member.get(url).json()["security_groups"] if one["name"] == "default")
    assert member.delete(f"{url}/{default}").status_code == 400
    assert site.cloud.stranger.get(f"{url}/{default}").status_code == 404
    gone = member.get(url, headers={"OpenStack-API-Version": "compute 2.36"})
    assert gone.status_code == 404


def test_a_lent_port_bears_the_servers_name_while_it_is_its_card(cloud, site):
    base = "/network/v2.0"

    def made(**more):
        body = {"port": {"network_id": site.network, **more}}
        return cloud.member.post(f"{base}/ports", json=body).json()["port"]["id"]

    def name(port):
        return cloud.member.get(f"{base}/ports/{port}").json()["port"]["dns_name"]

    plain, named = made(), made(dns_name="mine")
    server = site.run(name="shop", networks=[{"port": plain}, {"port": named}])
    assert (name(plain), name(named)) == ("shop", "mine")
    cloud.member.delete(f"/compute/v2.1/servers/{server}")
    cloud.settle()
    assert (name(plain), name(named)) == ("", "mine")

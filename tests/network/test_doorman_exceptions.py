"""What an exception opens: what was excepted and nothing else, whatever addresses a project gives its own things."""

from __future__ import annotations

from typing import Any

from tests.conftest import BLUE, RED, Cloud
from tests.network.conftest import Net
from tests.network.doorman import SMTP, V1, Doorman
from wolke.core.db import iso

FOREIGN = "198.51.100.77"


def share(net: Net, network: Any) -> Any:
    policy = {"object_type": "network", "object_id": network["id"], "action": "access_as_shared", "target_tenant": BLUE}
    return net.send("POST", "rbac-policies", json={"rbac_policy": policy})


def test_an_exception_opens_and_expires_by_itself(door: Doorman, public: Any, net: Net, cloud: Cloud) -> None:
    floating = net.create("floatingip", floating_network_id=public["id"])
    made = door.exception(door.smtp(), 60, floatingip_id=floating["id"])
    assert (made["status"], made["project_id"], made["granted_by"]["user_name"]) == ("ACTIVE", RED, "admin")
    four = [text for text in door.drops(public)["to-lport"] if text.startswith("ip4")]
    assert four and SMTP[0] not in four and all("ip4.dst" in text for text in four)
    cloud.now += 61
    assert door.drops(public)["to-lport"] == SMTP
    listed = cloud.admin.get(f"{V1}/exceptions?status=EXPIRED").json()["doorman_exceptions"]
    assert [one["id"] for one in listed] == [made["id"]]
    later = {"doorman_exception": {"expires_at": iso(cloud.now + 60)}}
    assert (
        cloud.admin.put(f"{V1}/exceptions/{made['id']}", json=later).json()["doorman_exception"]["status"] == "ACTIVE"
    )
    assert SMTP[0] not in door.drops(public)["to-lport"]


def test_an_exception_of_a_project_follows_its_addresses(door: Doorman, public: Any, net: Net, cloud: Cloud) -> None:
    from wolke.network.doorman import reader

    door.exception(door.smtp(), project_id=RED)
    cloud.settle()

    def local() -> set[str]:
        with cloud.app.database.read() as db:
            return {str(prefix) for one in reader.load(db).exemptions for prefix in one.local or ()}

    assert local() == set() and door.drops(public)["to-lport"] == SMTP
    floating = net.create("floatingip", floating_network_id=public["id"])
    net.create("floatingip", floating_network_id=public["id"], by=cloud.stranger)
    router = net.create("router", external_gateway_info={"network_id": public["id"]})
    outer = router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
    assert local() == {f"{floating['floating_ip_address']}/32", f"{outer}/32"}
    assert SMTP[0] not in door.drops(public)["to-lport"]
    net.delete("floatingip", floating["id"])
    net.delete("router", router["id"])
    assert local() == set() and door.drops(public)["to-lport"] == SMTP


def test_an_exception_of_a_project_knows_its_new_port_on_a_network_shared_with_one(
    door: Doorman, net: Net, cloud: Cloud
) -> None:
    """Not only on one that is shared with everybody: a door stands before both."""
    network = net.network()
    net.subnet(network)
    policy = {"object_type": "network", "object_id": network["id"], "action": "access_as_shared", "target_tenant": BLUE}
    assert net.send("POST", "rbac-policies", json={"rbac_policy": policy}).status_code == 201
    door.exception(door.rule(protocol="tcp", port_range_min=8080, port_range_max=8080), project_id=BLUE)
    before = door.drops(network)
    net.port(network, by=cloud.stranger)
    assert door.drops(network) != before


def test_an_exception_goes_with_its_floating_ip_and_its_rule(
    door: Doorman, public: Any, net: Net, cloud: Cloud
) -> None:
    floating = net.create("floatingip", floating_network_id=public["id"])
    one = door.exception(door.smtp(), floatingip_id=floating["id"])
    net.delete("floatingip", floating["id"])
    assert cloud.admin.get(f"{V1}/exceptions/{one['id']}").json()["doorman_exception"]["status"] == "EXPIRED"
    assert door.drops(public)["to-lport"] == SMTP
    cloud.admin.delete(f"{V1}/rules/{door.smtp()['id']}")
    assert cloud.admin.get(f"{V1}/exceptions/{one['id']}").status_code == 404


def test_an_address_that_a_project_has_chosen_opens_nothing_elsewhere(
    door: Doorman, net: Net, public: Any, cloud: Cloud
) -> None:
    door.exception(door.smtp(), project_id=RED)
    own = net.network()
    net.subnet(own, "198.51.100.0/24")
    net.port(own, fixed_ips=[{"ip_address": FOREIGN}])
    assert share(net, own).status_code == 201
    assert door.drops(public)["to-lport"] == SMTP
    assert SMTP[0] not in door.drops(own)["to-lport"], "on its own network the address is the project's"


def test_a_pool_and_a_scope_of_its_own_open_nothing(door: Doorman, net: Net, public: Any, cloud: Cloud) -> None:
    door.exception(door.smtp(), project_id=BLUE)
    scope = net.create("address_scope", by=cloud.stranger, name="mine", ip_version=4)
    pool = net.create(
        "subnetpool", by=cloud.stranger, name="mine", prefixes=["198.51.100.0/24"], default_prefixlen=28,
        address_scope_id=scope["id"],
    )  # fmt: skip
    own = net.network(by=cloud.stranger)
    net.create("subnet", by=cloud.stranger, network_id=own["id"], ip_version=4, subnetpool_id=pool["id"])
    assert door.drops(public)["to-lport"] == SMTP


def test_an_address_from_an_operator_s_pool_is_the_project_s_at_every_door(
    door: Doorman, net: Net, public: Any, cloud: Cloud
) -> None:
    pool = net.create(
        "subnetpool", by=cloud.admin, name="world", prefixes=["2001:db8:1::/48"], default_prefixlen=64, shared=True
    )
    everybody_s = net.network(by=cloud.admin, shared=True)
    net.create("subnet", by=cloud.admin, network_id=everybody_s["id"], ip_version=6, subnetpool_id=pool["id"])
    [address] = net.port(everybody_s, by=cloud.stranger)["fixed_ips"]
    door.exception(door.smtp(), project_id=BLUE)
    for network in (public, everybody_s):
        six = [text for text in door.drops(network)["to-lport"] if text.startswith("ip6")]
        assert six != SMTP[1:] and address["ip_address"] not in " ".join(six)


def test_what_a_project_has_given_up_is_excepted_no_longer(door: Doorman, net: Net, public: Any, cloud: Cloud) -> None:
    """Whoever gets the address next has not been excepted."""
    door.exception(door.smtp(), project_id=BLUE)
    way = {"network_id": public["id"]}
    router = net.create("router", by=cloud.stranger, external_gateway_info=way)
    second = net.network(name="second", by=cloud.admin, **{"router:external": True})
    net.subnet(second, "192.0.2.0/24", by=cloud.admin)

    def excepted() -> dict[str, list[str]]:
        return {one["name"]: door.drops(one)["to-lport"] for one in (public, second)}

    def moved(by: str) -> None:
        before = excepted()
        if by == "router":
            info = way | {"external_fixed_ips": [{"ip_address": "198.51.100.50"}]}
            net.update("router", router["id"], by=cloud.admin, external_gateway_info=info)
        else:
            [port] = net.list("ports", f"device_id={router['id']}", by=cloud.admin)
            net.update("port", port["id"], by=cloud.admin, fixed_ips=[{"ip_address": "198.51.100.60"}])
        assert excepted()["public"] not in (before["public"], SMTP)

    moved("router"), moved("port")
    body = {"router": {"external_gateways": [{"network_id": second["id"]}]}}
    for call, shut in (("add_external_gateways", False), ("remove_external_gateways", True)):
        assert net.send("PUT", f"routers/{router['id']}/{call}", by=cloud.stranger, json=body).status_code == 200
        assert (excepted()["second"] == SMTP) is shut


def test_a_pool_that_is_everybody_s_no_longer_is_excepted_no_longer(
    door: Doorman, net: Net, public: Any, cloud: Cloud
) -> None:
    door.exception(door.smtp(), project_id=BLUE)
    prefixes = {"prefixes": ["2001:db8:5::/48"], "default_prefixlen": 64}
    pool = net.create("subnetpool", by=cloud.stranger, name="mine", **prefixes)
    own = net.network(by=cloud.stranger)
    net.create("subnet", by=cloud.stranger, network_id=own["id"], ip_version=6, subnetpool_id=pool["id"])
    assert door.drops(public)["to-lport"] == SMTP
    policy = {"object_type": "subnetpool", "object_id": pool["id"], "action": "access_as_shared", "target_tenant": "*"}
    answer = net.send("POST", "rbac-policies", by=cloud.admin, json={"rbac_policy": policy})
    assert door.drops(public)["to-lport"] != SMTP
    path = f"rbac-policies/{answer.json()['rbac_policy']['id']}"
    assert net.send("DELETE", path, by=cloud.admin).status_code == 204
    assert door.drops(public)["to-lport"] == SMTP


# What a project is told ---------------------------------------------------------------------------------------------
def test_a_project_is_not_told_of_others_exceptions(door: Doorman, net: Net, public: Any, cloud: Cloud) -> None:
    six = net.subnet(public, "2001:db8:1::/64", by=cloud.admin)
    floating = net.create("floatingip", by=cloud.stranger, floating_network_id=public["id"], subnet_id=six["id"])
    for said in ({"floatingip_id": floating["id"]}, {"local_ip_prefix": "2001:db8:1::/64"}):
        door.exception(door.smtp(), reason="another's secret", **said)
    claiming = net.subnet(net.network(), "2001:db8:1::/65")
    router = net.create("router", by=cloud.admin)
    interface = {"subnet_id": claiming["id"]}
    net.send("PUT", f"routers/{router['id']}/add_router_interface", by=cloud.admin, json=interface)
    outer = net.network(name="other", by=cloud.admin, **{"router:external": True})
    net.subnet(outer, "192.0.2.0/24", by=cloud.admin)
    net.update("router", router["id"], by=cloud.admin, external_gateway_info={"network_id": outer["id"]})
    door.exception(door.smtp(), reason="ours", project_id=RED)
    answer = cloud.member.get(f"/wolke/v1/doorman/effective?subnet_id={claiming['id']}")
    assert answer.json()["effective"] and "secret" not in answer.text
    operators = cloud.admin.get(f"/wolke/v1/doorman/effective?subnet_id={claiming['id']}")
    assert "secret" in operators.text


def test_a_neighbour_s_way_out_is_not_shown(door: Doorman, net: Net, public: Any, cloud: Cloud) -> None:
    everybody_s = net.network(by=cloud.admin, shared=True)
    net.subnet(everybody_s, "10.5.0.0/24", by=cloud.admin)
    mine = net.port(everybody_s)

    def seen() -> set[str]:
        found = cloud.member.get(f"/wolke/v1/doorman/effective?port_id={mine['id']}").json()["effective"]
        return {one["via"] for one in found}

    for by, way in ((cloud.stranger, {"direct_port"}), (cloud.member, {"direct_port", "router_gateway"})):
        router = net.create("router", by=by, external_gateway_info={"network_id": public["id"]})
        port = net.port(everybody_s, by=by)
        interface = f"routers/{router['id']}/add_router_interface"
        assert net.send("PUT", interface, by=by, json={"port_id": port["id"]}).status_code == 200
        assert seen() == way

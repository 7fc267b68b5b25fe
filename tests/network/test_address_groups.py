"""Address groups: sets of prefixes in rules, and what OVN gets of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import BLUE, Cloud
from tests.network.conftest import Net
from wolke.core.work import Work

NETS = ["10.9.0.7/16", "192.0.2.1/32", "fd00::1/64"]


@pytest.fixture
def office(net: Net) -> Any:
    return net.create("address_group", name="office", addresses=NETS)


def sets(cloud: Cloud, group: Any) -> dict[str, Any]:
    """Family -> addresses in OVN."""
    cloud.settle()
    rows = cloud.north.rows(f"address_group/{group['id']}")
    return {row.key.rpartition("_")[2]: row.columns["addresses"] for row in rows}


def change(net: Net, group: Any, how: str, *addresses: str) -> Any:
    path = f"address-groups/{group['id']}/{how}_addresses"
    answer = net.send("PUT", path, json={"addresses": list(addresses)})
    assert answer.status_code == 200, answer.text
    return answer.json()["address_group"]


def test_a_group_is_a_set_for_each_family(cloud: Cloud, net: Net, office: Any) -> None:
    assert office["addresses"] == ["10.9.0.0/16", "192.0.2.1/32", "fd00::/64"]
    assert sets(cloud, office) == {"ip4": {"10.9.0.0/16", "192.0.2.1/32"}, "ip6": {"fd00::/64"}}
    changed = change(net, office, "add", "10.8.0.0/24", "10.8.0.9/24")
    assert changed["addresses"][0] == "10.8.0.0/24" and changed["revision_number"] == office["revision_number"] + 1
    change(net, office, "remove", "10.9.0.0/16", "fd00::/64")
    assert sets(cloud, office) == {"ip4": {"10.8.0.0/24", "192.0.2.1/32"}, "ip6": set()}
    net.delete("address_group", office["id"])
    assert sets(cloud, office) == {}


def test_rules_refer_to_it_and_keep_it(cloud: Cloud, net: Net, office: Any) -> None:
    group = net.create("security_group", name="web")
    for ethertype in ("IPv4", "IPv6"):
        rule = net.create(
            "security_group_rule", security_group_id=group["id"], direction="ingress", ethertype=ethertype,
            remote_address_group_id=office["id"],
        )  # fmt: skip
        cloud.settle()
        [acl] = [row for row in cloud.north.rows(f"security_group/{group['id']}") if row.key == rule["id"]]
        family = f"ip{ethertype[-1]}"
        name = f"ag_{office['id'].replace('-', '_')}_{family}"
        assert str(acl.columns["match"]).endswith(f"{family} && {family}.src == ${name}")
        query = f"remote_address_group_id={office['id']}&ethertype={ethertype}"
        assert [one["id"] for one in net.list("security-group-rules", query)] == [rule["id"]]
    net.refused("DELETE", f"address-groups/{office['id']}", 409, "AddressGroupInUse")
    net.delete("security_group", group["id"])
    net.delete("address_group", office["id"])


def test_a_change_wakes_the_set_and_no_rule(cloud: Cloud, net: Net, office: Any) -> None:
    group = net.create("security_group", name="web")
    net.create(
        "security_group_rule", security_group_id=group["id"], direction="ingress", remote_address_group_id=office["id"]
    )
    cloud.settle()
    change(net, office, "add", "10.7.0.0/24")
    with cloud.app.database.read() as db:
        assert {(item.kind, item.id) for item in db.query(Work) if item.due <= cloud.now} == {
            ("address_group", office["id"])
        }


def test_shared_with_another_project(cloud: Cloud, net: Net, office: Any) -> None:
    body = {
        "object_type": "address_group",
        "object_id": office["id"],
        "target_tenant": BLUE,
        "action": "access_as_shared",
    }
    group = net.create("security_group", by=cloud.stranger, name="theirs")
    rule = {"security_group_id": group["id"], "direction": "ingress", "remote_address_group_id": office["id"]}
    net.refused(
        "POST",
        "security-group-rules",
        404,
        "AddressGroupNotFound",
        by=cloud.stranger,
        json={"security_group_rule": rule},
    )
    policy = net.send("POST", "rbac-policies", json={"rbac_policy": body}).json()["rbac_policy"]
    made = net.create("security_group_rule", by=cloud.stranger, **rule)
    assert net.show("address_group", office["id"], by=cloud.stranger)["addresses"] == office["addresses"]
    path = f"address-groups/{office['id']}/add_addresses"
    net.refused("PUT", path, 403, "PolicyNotAuthorized", by=cloud.stranger, json={"addresses": ["0.0.0.0/0"]})
    net.refused("DELETE", f"rbac-policies/{policy['id']}", 409, "RbacPolicyInUse")
    net.delete("security_group_rule", made["id"], by=cloud.stranger)
    assert net.send("DELETE", f"rbac-policies/{policy['id']}").status_code == 204
    net.refused("GET", f"address-groups/{office['id']}", 404, "AddressGroupNotFound", by=cloud.stranger)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "type", "says"),
    [
        ("POST", "", {"addresses": ["ten"]}, 400, "HTTPBadRequest", "ten"),
        ("POST", "", {"addresses": ["10.0.0.1"]}, 400, "HTTPBadRequest", "10.0.0.1/32"),
        ("POST", "", {"addresses": ["10.0.0.0/33"]}, 400, "HTTPBadRequest", "10.0.0.0/33"),
        ("POST", "", {"addresses": "10.0.0.0/8"}, 400, "HTTPBadRequest", "addresses"),
        ("POST", "", {"name": "x" * 256}, 400, "HTTPBadRequest", "name"),
        ("POST", "", {"shared": True}, 400, "HTTPBadRequest", "shared"),
        ("PUT", "/{id}", {"addresses": []}, 400, "HTTPBadRequest", "addresses"),
        ("PUT", "/nowhere", {"name": "x"}, 404, "AddressGroupNotFound", "nowhere"),
    ],
)
def test_wrong_groups(
    net: Net, office: Any, method: str, path: str, body: Any, status: int, type: str, says: str
) -> None:
    path = f"address-groups{path.format(id=office['id'])}"
    assert says in net.refused(method, path, status, type, json={"address_group": body})
    assert [one["addresses"] for one in net.list("address-groups")] == [office["addresses"]]


@pytest.mark.parametrize(
    ("how", "body", "status", "type", "says"),
    [
        ("add", {"addresses": ["10.9.3.0/16"]}, 400, "AddressesAlreadyExist", "10.9.0.0/16"),
        ("remove", {"addresses": ["10.9.0.0/24"]}, 404, "AddressesNotFound", "10.9.0.0/24"),
        ("add", {"addresses": ["x/8"]}, 400, "HTTPBadRequest", "x/8"),
        ("add", {}, 400, "HTTPBadRequest", "addresses"),
        ("remove", {"address_group": {"addresses": []}}, 400, "HTTPBadRequest", "address_group"),
    ],
)
def test_wrong_addresses(net: Net, office: Any, how: str, body: Any, status: int, type: str, says: str) -> None:
    path = f"address-groups/{office['id']}/{how}_addresses"
    assert says in net.refused("PUT", path, status, type, json=body)
    assert net.show("address_group", office["id"])["addresses"] == office["addresses"]

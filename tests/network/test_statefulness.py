"""What new security groups are where nobody says: stateful or not, by a project's setting or the site's."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.conftest import BLUE, RED, Cloud
from tests.network.conftest import Net

PATH = "security-groups-default-statefulness"
NEUTRON, SDK = "security_groups_default_statefulness", "security_group_default_statefulness"


@pytest.fixture
def manager(cloud: Cloud) -> TestClient:
    return cloud.client("manager")


def make(net: Net, by: TestClient, *, word: str = NEUTRON, **body: Any) -> Any:
    answer = net.send("POST", PATH, by=by, json={word: body})
    assert answer.status_code == 201, answer.text
    assert answer.json()[NEUTRON] == answer.json()[SDK]
    return answer.json()[word]


def test_a_project_s_setting_goes_before_the_site_s(cloud: Cloud, net: Net, manager: TestClient) -> None:
    def new(by: TestClient, **more: Any) -> bool:
        return bool(net.create("security_group", by=by, name="new", **more)["stateful"])

    before = net.create("security_group", name="before")
    assert before["stateful"] is True and new(cloud.stranger) is True
    site = make(net, cloud.admin, project_id=None, stateful=False)
    assert site["project_id"] is None and new(cloud.member) is False and new(cloud.stranger) is False
    red = make(net, manager, word=SDK)
    assert (red["project_id"], red["stateful"]) == (RED, True)
    assert new(cloud.member) is True and new(cloud.stranger) is False and new(cloud.member, stateful=False) is False
    changed = net.send("PUT", f"{PATH}/{red['id']}", by=manager, json={SDK: {"stateful": False}})
    assert changed.json() == dict.fromkeys((NEUTRON, SDK), red | {"stateful": False}) and new(cloud.member) is False
    assert net.send("DELETE", f"{PATH}/{site['id']}", by=cloud.admin).status_code == 204
    assert new(cloud.stranger) is True and new(cloud.member) is False
    assert net.show("security_group", before["id"])["stateful"] is True
    [default] = net.list("security-groups", "name=default")
    assert default["stateful"] is True  # as in Neutron


def test_one_setting_for_each_project(cloud: Cloud, net: Net, manager: TestClient) -> None:
    make(net, cloud.admin, project_id=BLUE, stateful=False)
    make(net, cloud.admin, project_id=None)
    for body, who in (({"project_id": BLUE}, BLUE), ({"project_id": None}, "system-wide")):
        said = net.refused(
            "POST", PATH, 409, "SecurityGroupDefaultStatefulnessAlreadyExists", by=cloud.admin, json={NEUTRON: body}
        )
        assert said == f"A security group default statefulness setting already exists for project '{who}'."


def test_who_sees_and_changes_them(cloud: Cloud, net: Net, manager: TestClient) -> None:
    site = make(net, cloud.admin, project_id=None, stateful=False)
    red = make(net, manager)
    blue = make(net, cloud.admin, project_id=BLUE, stateful=False)
    assert net.list(PATH) == [red] and net.list(PATH, by=cloud.stranger) == [blue]
    everything = net.list(PATH, "sort_key=stateful", by=cloud.admin)
    assert {one["id"] for one in everything} == {site["id"], red["id"], blue["id"]} and everything[-1] == red
    assert net.list(PATH, f"project_id={BLUE}&stateful=false&fields=id", by=cloud.admin) == [{"id": blue["id"]}]
    gone = "SecurityGroupDefaultStatefulnessNotFound"
    net.refused("GET", f"{PATH}/{blue['id']}", 404, gone)
    net.refused("PUT", f"{PATH}/{site['id']}", 404, gone, by=manager, json={NEUTRON: {"stateful": True}})
    net.refused("POST", PATH, 403, "PolicyNotAuthorized", json={NEUTRON: {}})
    net.refused("POST", PATH, 403, "PolicyNotAuthorized", by=manager, json={NEUTRON: {"project_id": None}})
    net.refused("POST", PATH, 400, "HTTPBadRequest", by=manager, json={NEUTRON: {"project_id": BLUE}})
    net.refused("DELETE", f"{PATH}/{red['id']}", 403, "PolicyNotAuthorized")


@pytest.mark.parametrize(
    "body",
    [{}, {NEUTRON: {}, SDK: {}}, {NEUTRON: []}, {NEUTRON: {"stateful": "perhaps"}}, {NEUTRON: {"stateful": None}},
     {NEUTRON: {"name": "n"}}, {NEUTRON: {"project_id": 7}}],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(cloud: Cloud, net: Net, body: Any) -> None:
    net.refused("POST", PATH, 400, "HTTPBadRequest", by=cloud.admin, json=body)

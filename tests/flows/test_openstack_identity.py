"""The unmodified ``openstack`` command's identity group against a real API process.

Each test is one part of the group; together they use every command that does not speak of federation, OAuth, trusts or endpoint groups.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Api

pytestmark = pytest.mark.flows


def names(rows: list[dict[str, Any]], column: str = "Name") -> set[str]:
    return {row[column] for row in rows}


def login(name: str, project: str = "", **more: str) -> dict[str, str]:
    """The environment of another user."""
    return {"OS_USERNAME": name, "OS_PASSWORD": "open sesame", "OS_PROJECT_NAME": project, **more} | (
        {} if project else {"OS_PROJECT_DOMAIN_ID": ""}
    )


def test_domains(api: Api) -> None:
    made = api.shown("domain create --description first acme")
    assert made["name"] == "acme" and made["enabled"] is True
    api.openstack("domain set --description second --disable acme")
    shown = api.shown("domain show acme")
    assert shown["description"] == "second" and shown["enabled"] is False and shown["id"] == made["id"]
    assert names(api.shown("domain list")) == {"Default", "acme"}
    assert names(api.shown("domain list --enabled")) == {"Default"}
    api.openstack("domain delete acme")
    assert names(api.shown("domain list")) == {"Default"}


def test_projects(api: Api) -> None:
    top = api.shown("project create --description d --tag gold --property colour=red top")
    assert top["tags"] == ["gold"] and top["domain_id"] == "default"
    child = api.shown("project create --parent top child")
    assert child["parent_id"] == top["id"]
    assert api.shown("project show --parents child")["parents"]
    assert api.shown("project show --children top")["subtree"]
    api.openstack("project set --name summit --tag silver top")
    api.openstack("project set --remove-tag gold summit")
    shown = api.shown("project show summit")
    assert shown["tags"] == ["silver"] and shown["description"] == "d"
    assert names(api.shown("project list --tags silver")) == {"summit"}
    assert names(api.shown("project list --parent summit")) == {"child"}
    assert names(api.shown("project list --long")) >= {"admin", "service", "summit", "child"}
    assert "not a leaf" in api.openstack("project delete summit", fails=True)
    api.openstack("project delete child")
    api.openstack("project set --disable summit")
    api.openstack("project delete summit")


def test_users_and_their_passwords(api: Api) -> None:
    api.openstack("project create red")
    made = api.shown("user create --project red --password", "open sesame", "--email", "ann@example.org", "ann")
    assert made["email"] == "ann@example.org" and made["default_project_id"]
    api.openstack("role add --user ann --project red member")
    assert names(api.shown("user list")) == {"admin", "ann"}
    assert names(api.shown("user list --project red")) == {"ann"}
    api.openstack("user set --description hello --ignore-lockout-failure-attempts ann")
    assert api.shown("user show ann")["description"] == "hello"
    assert api.shown("user show", made["id"], **login("ann", "red"))["name"] == "ann"
    assert names(api.shown("project list", **login("ann", "red"))) == {"red"}
    assert "403" in api.openstack("user list", fails=True, **login("ann", "red"))
    change = ("--original-password", "open sesame", "--password", "new one")
    api.openstack("user password set", *change, **login("ann", "red"))
    assert "401" in api.openstack("token issue", fails=True, **login("ann", "red"))
    api.openstack("token issue", **login("ann", "red", OS_PASSWORD="new one"))
    api.openstack("user set --disable ann")
    assert "401" in api.openstack("token issue", fails=True, **login("ann", "red", OS_PASSWORD="new one"))
    api.openstack("user delete ann")
    api.openstack("project delete red")


def test_groups(api: Api) -> None:
    api.openstack("group create --description d staff")
    api.openstack("user create --password", "open sesame", "bob")
    api.openstack("group add user staff bob")
    assert "bob in group staff" in api.openstack("group contains user staff bob")
    assert names(api.shown("user list --group staff")) == {"bob"}
    assert names(api.shown("group list --user bob")) == {"staff"}
    api.openstack("group set --name crew --description e staff")
    assert api.shown("group show crew")["description"] == "e"
    api.openstack("group remove user crew bob")
    assert "not in group" in api.openstack("group contains user crew bob")
    api.openstack("group delete crew")
    api.openstack("user delete bob")


def test_roles_and_assignments(api: Api) -> None:
    api.openstack("role create --description d auditor")
    api.openstack("role set --name inspector auditor")
    assert api.shown("role show inspector")["description"] == "d"
    assert names(api.shown("role list")) == {"admin", "manager", "member", "reader", "service", "inspector"}
    api.openstack("project create blue")
    api.openstack("user create --password", "open sesame", "carl")
    api.openstack("group create team")
    api.openstack("role add --user carl --project blue member")
    api.openstack("role add --group team --domain default reader")
    api.openstack("role add --group team --domain default --inherited reader")
    api.openstack("role add --user carl --system all reader")
    rows = api.shown("role assignment list --names --user carl")
    assert {(row["Role"], row["Project"], row["System"]) for row in rows} == {
        ("member", "blue@Default", ""), ("reader", "", "all"),
    }  # fmt: skip
    rows = api.shown("role assignment list --names --effective --project blue")
    assert {(row["Role"], row["User"]) for row in rows} == {("member", "carl@Default"), ("reader", "carl@Default")}
    assert len(api.shown("role assignment list --group team --inherited")) == 1
    assert len(api.shown("role assignment list --role reader --system all")) == 1
    api.openstack("role remove --user carl --project blue member")
    assert api.shown("role assignment list --user carl --project blue") == []
    api.openstack("role remove --group team --domain default --inherited reader")
    for words in ("user delete carl", "group delete team", "project delete blue", "role delete inspector"):
        api.openstack(words)


def test_implied_roles(api: Api) -> None:
    api.openstack("role create operator")
    api.openstack("implied role create --implied-role member operator")
    rows = api.shown("implied role list")
    assert ("operator", "member") in {(row["Prior Role Name"], row["Implied Role Name"]) for row in rows}
    api.openstack("implied role delete --implied-role member operator")
    api.openstack("role delete operator")


def test_application_credentials(api: Api) -> None:
    rules = json.dumps([{"service": "identity", "method": "GET", "path": "/v3/regions"}])
    made = api.shown("application credential create --role member --description d robot")
    limited = api.shown("application credential create --access-rules", rules, "--role", "reader", "limited")
    program = {
        "OS_AUTH_TYPE": "v3applicationcredential", "OS_USERNAME": "", "OS_PASSWORD": "", "OS_PROJECT_NAME": "",
        "OS_USER_DOMAIN_ID": "", "OS_PROJECT_DOMAIN_ID": "",
    }  # fmt: skip
    robot = program | {
        "OS_APPLICATION_CREDENTIAL_ID": made.get("id") or made["ID"],
        "OS_APPLICATION_CREDENTIAL_SECRET": made.get("secret") or made["Secret"],
    }
    assert api.shown("token issue", **robot)["project_id"]
    bound = program | {
        "OS_APPLICATION_CREDENTIAL_ID": limited.get("id") or limited["ID"],
        "OS_APPLICATION_CREDENTIAL_SECRET": limited.get("secret") or limited["Secret"],
    }
    assert len(api.shown("region list", **bound)) == 1
    assert "401" in api.openstack("role list", fails=True, **bound)
    assert names(api.shown("application credential list")) == {"robot", "limited"}
    api.openstack("application credential show robot")
    [rule] = api.shown("access rule list")
    api.openstack("access rule show", rule["ID"])
    api.openstack("application credential delete robot limited")
    assert "401" in api.openstack("token issue", fails=True, **robot)
    api.openstack("access rule delete", rule["ID"])
    assert api.shown("access rule list") == []


def test_credentials(api: Api) -> None:
    made = api.shown("credential create --type cert admin", "some secret")
    assert made["blob"] == "some secret"
    api.openstack("credential set --user admin --type cert --data", "another", made["id"])
    assert api.shown("credential show", made["id"])["blob"] == "another"
    assert names(api.shown("credential list --type cert"), "ID") == {made["id"]}
    api.openstack("credential delete", made["id"])
    keys = api.shown("ec2 credentials create")
    assert api.shown("ec2 credentials show", keys["access"])["secret"] == keys["secret"]
    assert names(api.shown("ec2 credentials list"), "Access") == {keys["access"]}
    api.openstack("ec2 credentials delete", keys["access"])


def test_the_catalogue(api: Api) -> None:
    api.openstack("region create --description d eu")
    api.openstack("region set --description e eu")
    assert api.shown("region show eu")["description"] == "e"
    service = api.shown("service create --name store --description d object-store")
    api.openstack("service set --name shop", service["id"])
    assert api.shown("service show shop")["type"] == "object-store"
    url = "http://store.example.org/v1/$(project_id)s"
    endpoint = api.shown("endpoint create --region eu shop public", url)
    api.openstack("endpoint set --url", "http://shop.example.org", endpoint["id"])
    assert api.shown("endpoint show", endpoint["id"])["url"] == "http://shop.example.org"
    assert names(api.shown("endpoint list --service shop"), "ID") == {endpoint["id"]}
    assert names(api.shown("service list")) >= {"identity", "compute", "network", "image", "shop"}
    assert names(api.shown("catalog list")) >= {"identity", "shop"}
    assert api.shown("catalog show object-store")["endpoints"]
    api.openstack("endpoint delete", endpoint["id"])
    api.openstack("service delete shop")
    api.openstack("region delete eu")
    assert names(api.shown("region list"), "Region") == {"RegionOne"}


def test_tokens(api: Api) -> None:
    issued = api.shown("token issue")
    bearer = {
        "OS_AUTH_TYPE": "token", "OS_TOKEN": issued["id"], "OS_USERNAME": "", "OS_PASSWORD": "", "OS_USER_DOMAIN_ID": "",
    }  # fmt: skip
    assert api.shown("token issue", **bearer)["project_id"] == issued["project_id"]
    api.openstack("token revoke", issued["id"])
    assert "404" in api.openstack("token issue", fails=True, **bearer)
    system = {"OS_SYSTEM_SCOPE": "all", "OS_PROJECT_NAME": "", "OS_PROJECT_DOMAIN_ID": ""}
    assert api.shown("token issue", **system)["system"] == "all"
    domain = {"OS_DOMAIN_ID": "default", "OS_PROJECT_NAME": "", "OS_PROJECT_DOMAIN_ID": ""}
    assert api.shown("token issue", **domain)["domain_id"] == "default"


def test_policies(api: Api, tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("first")
    made = api.shown("policy create --type text/plain", str(tmp_path / "rules"))
    (tmp_path / "rules").write_text("second")
    api.openstack("policy set --rules", str(tmp_path / "rules"), made["id"])
    assert api.shown("policy show", made["id"])["rules"] == "second"
    assert names(api.shown("policy list"), "ID") == {made["id"]}
    api.openstack("policy delete", made["id"])


def test_limits(api: Api) -> None:
    api.openstack("project create green")
    registered = api.shown("registered limit create --service compute --default-limit 3 widgets")
    api.openstack("registered limit set --default-limit 4", registered["id"])
    assert api.shown("registered limit show", registered["id"])["default_limit"] == 4
    assert names(api.shown("registered limit list"), "Resource Name") == {"widgets"}
    limit = api.shown("limit create --project green --service compute --resource-limit 9 widgets")
    api.openstack("limit set --resource-limit 10", limit["id"])
    assert api.shown("limit show", limit["id"])["resource_limit"] == 10
    assert names(api.shown("limit list"), "ID") == {limit["id"]}
    api.openstack("limit delete", limit["id"])
    api.openstack("registered limit delete", registered["id"])
    api.openstack("project delete green")

"""The operator at the door, for the tests of the doorman."""

from __future__ import annotations

from typing import Any

from tests.conftest import Cloud
from wolke.core.db import iso

V1 = "/wolke/v1/doorman"
SMTP = ["ip4 && tcp && tcp.dst == 25", "ip6 && tcp && tcp.dst == 25"]


class Doorman:
    """``door.rule(action="deny", direction="ingress")`` as the operator."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.api = cloud, cloud.admin

    def make(self, kind: str, **body: Any) -> Any:
        answer = self.api.post(f"{V1}/{kind}s", json={f"doorman_{kind}": body})
        assert answer.status_code == 201, answer.text
        return answer.json()[f"doorman_{kind}"]

    def rule(self, **body: Any) -> Any:
        return self.make("rule", **{"action": "deny", "direction": "ingress", **body})

    def exception(self, rule: Any, seconds: float = 3600, **body: Any) -> Any:
        until = iso(self.cloud.now + seconds)
        return self.make("exception", rule_id=rule["id"], **{"reason": "agreed", "expires_at": until, **body})

    def rules(self) -> list[Any]:
        found: list[Any] = self.api.get(f"{V1}/rules").json()["doorman_rules"]
        return found

    def smtp(self) -> Any:
        [found] = [rule for rule in self.rules() if rule["name"] == "smtp"]
        return found

    def drops(self, network: Any) -> dict[str, list[str]]:
        """Matches by the direction that OVN has them in, without the port group."""
        self.cloud.settle()
        group = f"pg_door_{network['id'].replace('-', '_')}"
        found: dict[str, list[str]] = {"to-lport": [], "from-lport": []}
        for row in self.cloud.north.rows("door/policy"):
            if row.table == "ACL" and ("Port_Group", group, "acls") in row.parents:
                assert row.columns["action"] == "drop" and int(str(row.columns["priority"])) >= 30000
                if row.columns["name"] != "fragments":
                    text = str(row.columns["match"]).partition(f"@{group} && ")[2]
                    found[str(row.columns["direction"])].append(text)
        return {way: sorted(texts) for way, texts in found.items()}

    def members(self, network: Any) -> set[str]:
        """Ports that the door of a network stands before."""
        self.cloud.settle()
        place = ("Port_Group", f"pg_door_{network['id'].replace('-', '_')}", "ports")
        return {
            row.key
            for owner in self.cloud.north.owners()
            for row in self.cloud.north.rows(owner)
            if row.table == "Logical_Switch_Port" and place in row.parents
        }

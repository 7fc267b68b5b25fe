"""Rules: the default personas, and an operator's language above them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from wolke.core import policy
from wolke.core.auth import Caller
from wolke.core.policy import Policy, Target

ROLES = ("admin", "manager", "member", "reader", "auditor")
callers = some.builds(
    Caller,
    user_id=some.sampled_from(["u1", "u2"]),
    project_id=some.sampled_from(["", "p1", "p2"]),
    roles=some.frozensets(some.sampled_from(ROLES)),
)
atoms = some.one_of(
    some.sampled_from(ROLES).map(lambda role: f"role:{role}"),
    some.sampled_from(["project_id:%(project_id)s", "user_id:%(user_id)s", "@", "!", "is_admin:True"]),
)
expressions = some.recursive(
    atoms,
    lambda inner: some.one_of(
        some.tuples(inner, some.sampled_from(["and", "or"]), inner).map(
            lambda three: f"({three[0]} {three[1]} {three[2]})"
        ),
        inner.map(lambda one: f"not {one}"),
    ),
    max_leaves=8,
)


def meaning(text: str, caller: Caller, target: Target) -> bool:
    """The same language read by Python itself."""
    for role in ROLES:
        text = text.replace(f"role:{role}", str(role in caller.roles))
    text = text.replace(
        "project_id:%(project_id)s", str(bool(caller.project_id) and caller.project_id == target.project_id)
    )
    text = text.replace("user_id:%(user_id)s", str(caller.user_id == getattr(target, "user_id", None)))
    text = text.replace("is_admin:True", str("admin" in caller.roles)).replace("@", "True").replace("!", "False")
    return bool(eval(text))


@given(expressions, callers, some.sampled_from(["p1", "p2", None]))
def test_the_language_means_what_it_says(text: str, caller: Caller, owner: str | None) -> None:
    target = Target(owner, user_id="u1")
    assert Policy({"get_thing": text}).allows("get_thing", caller, target) == meaning(text, caller, target)


@pytest.mark.parametrize("text", ["role", "(role:a", "role:a or", "role:a role:b", "and", "not"])
def test_what_cannot_be_read_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="policy"):
        Policy({"get_thing": text})


def test_rules_refer_to_each_other() -> None:
    rules = Policy({"owner": "project_id:%(project_id)s", "get_thing": "rule:owner and role:reader"})
    reader = Caller(user_id="u", project_id="p", roles=frozenset({"reader"}))
    assert rules.allows("get_thing", reader, Target("p")) and not rules.allows("get_thing", reader, Target("q"))


def test_personas() -> None:
    reader = Caller(user_id="u", project_id="p", roles=frozenset({"reader"}))
    admin = Caller(user_id="a", project_id="q", roles=frozenset({"admin"}))
    assert policy.reader(reader, Target("p")) and not policy.member(reader, Target("p"))
    assert not policy.reader(reader, Target(None)) and policy.reader(admin, Target(None))
    homeless = Caller(user_id="u", roles=frozenset({"reader"}))
    assert not policy.reader(homeless, Target("")), "an unscoped token owns nothing, not even what has no owner"


def test_a_policy_that_is_missing_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Policy.load(str(tmp_path / "policy.yaml"))
    assert Policy.load("").unknown() == []

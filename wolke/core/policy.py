"""Who may do what: rules by OpenStack's names, defaults in code, an operator's ``policy.yaml`` above them.

A check is a function of caller and target; the target is anything that has the attributes a rule looks at (a row, or ``Target``).
Overrides are written in oslo.policy's language and compiled to the same functions once.

Language: https://docs.openstack.org/oslo.policy/latest/admin/policy-yaml-file.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from wolke.core.auth import Caller

Check = Callable[[Caller, Any], bool]


class Target:
    """What is about to be made, or a thing's owner where the thing itself does not matter."""

    def __init__(self, project_id: str | None = None, **attributes: Any) -> None:
        self.project_id = project_id
        self.__dict__.update(attributes)


# The default personas; OpenStack's "consistent and secure default RBAC" ------------------------------------------
def anybody(caller: Caller, target: Any) -> bool:
    return True


def nobody(caller: Caller, target: Any) -> bool:
    return False


def logged_in(caller: Caller, target: Any) -> bool:
    return bool(caller.user_id)


def admin(caller: Caller, target: Any) -> bool:
    return "admin" in caller.roles


def service(caller: Caller, target: Any) -> bool:
    return "service" in caller.roles or admin(caller, target)


def _of_project(role: str) -> Check:
    def check(caller: Caller, target: Any) -> bool:
        if "admin" in caller.roles:
            return True
        owner = getattr(target, "project_id", None)
        return bool(caller.project_id) and caller.project_id == owner and role in caller.roles

    check.__name__ = role
    return check


manager, member, reader = _of_project("manager"), _of_project("member"), _of_project("reader")


# The rules -------------------------------------------------------------------------------------------------------
_defaults: dict[str, Check] = {}


def rule(name: str, check: Check) -> str:
    """Declare a rule with its default; the same name twice must mean the same check."""
    if _defaults.setdefault(name, check) is not check:
        raise ValueError(f"rule {name} is declared twice")
    return name


def rules(checks: Mapping[str, Check]) -> None:
    for name, check in checks.items():
        rule(name, check)


class Policy:
    def __init__(self, overrides: Mapping[str, str] | None = None) -> None:
        overrides = overrides or {}
        self._named = {name: _Parser(text, self._follow).whole() for name, text in overrides.items()}

    @classmethod
    def load(cls, path: str) -> Policy:
        """The operator's policy. Raises OSError: the file is missing, so nobody knows what it forbids."""
        text = Path(path).read_text() if path else ""
        return cls(yaml.safe_load(text) or {})

    def _follow(self, name: str) -> Check:
        return lambda caller, target: self.allows(name, caller, target)

    def allows(self, name: str, caller: Caller, target: Any) -> bool:
        check = self._named.get(name) or _defaults.get(name)
        if check is None:
            raise KeyError(f"no rule is named {name}")
        return check(caller, target)

    @staticmethod
    def names() -> list[str]:
        return sorted(_defaults)

    def unknown(self) -> list[str]:
        """Overrides that no call asks: likely misspelt; ``wolke doctor`` tells them."""
        return sorted(set(self._named) - set(_defaults))


# The operator's language -----------------------------------------------------------------------------------------
_TOKEN = re.compile(r"\s*(?:(?P<paren>[()])|(?P<word>(?:%\([^)]*\)s|'[^']*'|\"[^\"]*\"|[^\s()])+))")


class _Parser:
    """``A or B and not (C)`` with atoms ``role:x``, ``rule:x``, ``attribute:%(attribute)s``, ``'literal':%(attribute)s``, ``@``, ``!``."""

    def __init__(self, text: str, follow: Callable[[str], Check]) -> None:
        self.text, self.follow = text, follow
        self.tokens = [match.group("paren") or match.group("word") for match in _TOKEN.finditer(text.strip())]
        self.at = 0

    def whole(self) -> Check:
        if not self.tokens:
            return anybody
        check = self.either()
        if self.at != len(self.tokens):
            raise ValueError(f"policy: cannot read {self.text!r} at {self.tokens[self.at]!r}")
        return check

    def peek(self) -> str:
        return self.tokens[self.at].lower() if self.at < len(self.tokens) else ""

    def either(self) -> Check:
        checks = [self.both()]
        while self.peek() == "or":
            self.at += 1
            checks.append(self.both())
        return checks[0] if len(checks) == 1 else lambda caller, target: any(check(caller, target) for check in checks)

    def both(self) -> Check:
        checks = [self.one()]
        while self.peek() == "and":
            self.at += 1
            checks.append(self.one())
        return checks[0] if len(checks) == 1 else lambda caller, target: all(check(caller, target) for check in checks)

    def one(self) -> Check:
        if self.at >= len(self.tokens):
            raise ValueError(f"policy: {self.text!r} ends too early")
        token = self.tokens[self.at]
        self.at += 1
        if token.lower() == "not":
            inner = self.one()
            return lambda caller, target: not inner(caller, target)
        if token == "(":
            check = self.either()
            if self.peek() != ")":
                raise ValueError(f"policy: {self.text!r} lacks a closing parenthesis")
            self.at += 1
            return check
        return self.atom(token)

    def atom(self, token: str) -> Check:
        if token == "@":
            return anybody
        if token == "!":
            return nobody
        left, colon, right = token.partition(":")
        if not colon:
            raise ValueError(f"policy: cannot read {token!r} in {self.text!r}")
        if left == "role":
            return lambda caller, target: right.lower() in caller.roles
        if left == "rule":
            return self.follow(right)
        if left == "is_admin":
            return lambda caller, target: caller.is_admin == (right.lower() in ("true", "1"))
        return self.equal(left, right)

    @staticmethod
    def equal(left: str, right: str) -> Check:
        if right.startswith("%(") and right.endswith(")s"):
            names = right[2:-2].replace("target.", "").split(".")
            if names[-1] == "tenant_id":
                names[-1] = "project_id"

            def wanted(target: Any) -> Any:
                for name in names:
                    target = getattr(target, name, None)
                return target
        else:

            def wanted(target: Any) -> Any:
                return right.strip("'\"")

        if left[:1] in "'\"":
            literal = left.strip("'\"")
            return lambda caller, target: literal == wanted(target)
        if left == "system_scope":
            return lambda caller, target: caller.system and wanted(target) == "all"
        attribute = "project_id" if left == "tenant_id" else left

        def check(caller: Caller, target: Any) -> bool:
            mine = getattr(caller, attribute, None)
            return bool(mine) and mine == wanted(target)

        return check

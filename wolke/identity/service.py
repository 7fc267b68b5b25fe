"""The Identity service: its error words, and the checks that its rules are made of.

API: https://docs.openstack.org/api-ref/identity/v3/
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import Meta

from wolke.core import policy
from wolke.core.auth import Caller
from wolke.core.db import Json
from wolke.core.errors import Conflict, Forbidden, NotFound, Unauthorized, WolkeError
from wolke.core.http import Service

_RULE = re.compile(r"Policy doesn't allow (\S+) to be performed\.")
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\S")]
Id = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9-]+$")]


def dialect(error: WolkeError, status: int) -> Json:
    message = _RULE.sub(r"You are not authorized to perform the requested action: \1.", str(error))
    return {"error": {"code": status, "message": message, "title": error.title}}


identity = Service("identity", "/identity", dialect, strict=True)


def unknown(kind: str, id: str) -> NotFound:
    return NotFound(f"Could not find {kind}: {id}.")


def taken(kind: str, name: str, domain_id: str = "") -> Conflict:
    where = f" at domain ID {domain_id}" if domain_id else ""
    return Conflict(f"Conflict occurred attempting to store {kind} - Duplicate entry found with name {name}{where}.")


def refused() -> Unauthorized:
    """One answer for every login or token that is not good; why, only the log knows."""
    return Unauthorized("The request you have made requires authentication.")


def immutable(thing: Any, kind: str, changed: dict[str, Any] | None = None) -> None:
    """Raises Forbidden when the thing says that it may not be changed; taking that option away is allowed."""
    lifted = changed is not None and set(changed) == {"options"} and not changed["options"].get("immutable")
    if thing.options.get("immutable") and not lifted:
        raise Forbidden(f"Cannot change {kind} {thing.id}: it is immutable. Set options.immutable to false first.")


# The checks: keystone's default personas -----------------------------------------------------------------------------
# A target has the attributes ``domain_id`` (the thing's, or the domain itself), ``project_id``, ``user_id``.
admin = policy.admin
anybody = policy.logged_in


def system_reader(caller: Caller, target: Any) -> bool:
    return admin(caller, target) or (caller.system and "reader" in caller.roles)


def _in_domain(role: str, caller: Caller, target: Any) -> bool:
    return bool(caller.domain_id) and role in caller.roles and caller.domain_id == getattr(target, "domain_id", None)


def domain_reader(caller: Caller, target: Any) -> bool:
    return system_reader(caller, target) or _in_domain("reader", caller, target)


def domain_manager(caller: Caller, target: Any) -> bool:
    """The administrator of one domain: a domain-scoped token with the role ``manager``."""
    return admin(caller, target) or _in_domain("manager", caller, target)


def owner(caller: Caller, target: Any) -> bool:
    return bool(caller.user_id) and caller.user_id == getattr(target, "user_id", None)


def owner_or_admin(caller: Caller, target: Any) -> bool:
    return admin(caller, target) or owner(caller, target)


def owner_or_system_reader(caller: Caller, target: Any) -> bool:
    return system_reader(caller, target) or owner(caller, target)


def owner_or_domain_reader(caller: Caller, target: Any) -> bool:
    return domain_reader(caller, target) or owner(caller, target)


def of_project_or_domain_reader(caller: Caller, target: Any) -> bool:
    """A project is seen by those who hold a token for it."""
    mine = bool(caller.project_id) and caller.project_id == getattr(target, "project_id", None)
    return domain_reader(caller, target) or mine


def inside_domain(caller: Caller, target: Any) -> bool:
    """A domain is seen by those whose token lies in it."""
    mine = caller.project_domain_id or caller.domain_id
    return system_reader(caller, target) or (bool(mine) and mine == getattr(target, "domain_id", None))


def subject_or_service(caller: Caller, target: Any) -> bool:
    """A token is checked by services and by its own user."""
    return system_reader(caller, target) or "service" in caller.roles or owner(caller, target)


def domain_role_reader(caller: Caller, target: Any) -> bool:
    """Roles of the cloud are seen by whoever manages a domain, a domain's roles by that domain's readers."""
    manages = bool(caller.domain_id) and "manager" in caller.roles and not getattr(target, "domain_id", None)
    return domain_reader(caller, target) or manages

"""Grants: a role given to a user or group on a project, a domain, the system, or (inherited) on all projects below.

API: https://docs.openstack.org/api-ref/identity/v3/#assign-role-to-user-on-project and its neighbours
"""

from __future__ import annotations

from sqlalchemy import select

from wolke.core import policy
from wolke.core.auth import Caller
from wolke.core.db import Json
from wolke.core.errors import Forbidden
from wolke.core.http import Ctx
from wolke.core.policy import Target
from wolke.identity.roles import roles
from wolke.identity.service import admin, domain_manager, domain_reader, identity, system_reader, unknown
from wolke.identity.table import Assignment, Group, Project, Role, User

LENT = frozenset({"manager", "member", "reader"})  # what the manager of a domain may give to others


def lender(caller: Caller, target: object) -> bool:
    """The manager of a domain gives only what does not reach beyond it, and only to its own users and projects."""
    return admin(caller, target) or (domain_manager(caller, target) and getattr(target, "role", "") in LENT)


policy.rules(
    {
        "identity:check_grant": domain_reader,
        "identity:list_grants": domain_reader,
        "identity:create_grant": lender,
        "identity:revoke_grant": lender,
    }
)
for _actor in ("user", "group"):
    policy.rules(
        {
            f"identity:list_system_grants_for_{_actor}": system_reader,
            f"identity:check_system_grant_for_{_actor}": system_reader,
            f"identity:create_system_grant_for_{_actor}": admin,
            f"identity:revoke_system_grant_for_{_actor}": admin,
        }
    )


def rule_of(actor: str, target: str, action: str) -> str:
    if target == "system":
        return f"identity:{action}_system_grant{'s' if action == 'list' else ''}_for_{actor}"
    return f"identity:{action}_grant{'s' if action == 'list' else ''}"


class Grant:
    """One family of calls: who (user or group), where (project, domain or system), inherited or not."""

    def __init__(self, actor: str, target: str, inherited: bool) -> None:
        self.actor, self.target, self.inherited = actor, target, inherited
        place = "/system" if target == "system" else f"/{target}s/{{{target}_id}}"
        head = f"/v3/OS-INHERIT{place}" if inherited else f"/v3{place}"
        tail = "/inherited_to_projects" if inherited else ""
        self.path = f"{head}/{actor}s/{{{actor}_id}}/roles"
        one = f"{self.path}/{{role_id}}{tail}"
        where, how = (
            f"on a {target}" if target != "system" else "on the system",
            " for all projects below" if inherited else "",
        )
        words = f"a role of a {actor} {where}{how}"
        declare = identity.call
        declare("GET", self.path + tail, rule=self.rule("list"), summary=f"List the roles of a {actor} {where}{how}")(
            self.list
        )
        declare("GET", one, rule=self.rule("check"), status=204, summary=f"Check {words}")(self.check)
        declare("PUT", one, rule=self.rule("create"), status=204, summary=f"Give {words}")(self.create)
        declare("DELETE", one, rule=self.rule("revoke"), status=204, summary=f"Take {words} away")(self.revoke)

    def rule(self, action: str) -> str:
        return rule_of(self.actor, self.target, action)

    def named(self, ctx: Ctx) -> tuple[User | Group | None, Project | None, Role | None]:
        id = ctx.path[f"{self.actor}_id"]
        who = ctx.db.get(User, id) if self.actor == "user" else ctx.db.get(Group, id)
        where = ctx.db.get(Project, ctx.path[f"{self.target}_id"]) if self.target != "system" else None
        return who, where, ctx.db.get(Role, ctx.path.get("role_id", ""))

    def asked(self, ctx: Ctx, action: str) -> tuple[str, str, str]:
        """Ids of actor, place and role, after the rule. Raises Forbidden, NotFound."""
        who, where, role = self.named(ctx)
        home = (where.domain_id or where.id) if where else None
        if who is None or who.domain_id != home or (role and role.domain_id not in ("", home)):
            home = None  # it reaches across domains: no manager of one may
        ctx.require(
            self.rule(action),
            Target(domain_id=home, role=role.name if role else "", project_id=where.id if where else None),
        )
        if self.target != "system" and (where is None or (self.target == "domain" and not where.is_domain)):
            raise unknown(self.target, ctx.path[f"{self.target}_id"])
        if who is None and action in ("create", "list"):
            raise unknown(self.actor, ctx.path[f"{self.actor}_id"])
        if role is None and "role_id" in ctx.path:
            raise unknown("role", ctx.path["role_id"])
        if role and where and action == "create" and role.domain_id not in ("", where.domain_id or where.id):
            raise Forbidden(f"Role {role.id} belongs to another domain than {self.target} {where.id}.")
        return ctx.path[f"{self.actor}_id"], where.id if where else "all", role.id if role else ""

    def find(self, ctx: Ctx, action: str) -> Assignment:
        actor_id, target_id, role_id = self.asked(ctx, action)
        found = ctx.db.get(Assignment, (self.actor, actor_id, self.target, target_id, role_id, self.inherited))
        if found is None:
            raise unknown("role assignment with role", f"{role_id}, {self.actor} {actor_id}, {self.target} {target_id}")
        return found

    def list(self, ctx: Ctx) -> Json:
        actor_id, target_id, _ = self.asked(ctx, "list")
        given = select(Assignment.role_id).where(
            Assignment.actor == self.actor, Assignment.actor_id == actor_id, Assignment.target == self.target,
            Assignment.target_id == target_id, Assignment.inherited.is_(self.inherited),
        )  # fmt: skip
        found = ctx.db.scalars(select(Role).where(Role.id.in_(given)).order_by(Role.name)).all()
        shown = [roles.views(ctx, [role])[0] for role in found]
        here = ctx.base + self.path.format(**ctx.path)
        return {"roles": shown, "links": {"self": here, "next": None, "previous": None}}

    def check(self, ctx: Ctx) -> None:
        self.find(ctx, "check")

    def create(self, ctx: Ctx) -> None:
        actor_id, target_id, role_id = self.asked(ctx, "create")
        ctx.note("assignment", role_id, target_id if self.target == "project" else "")
        ctx.db.merge(
            Assignment(
                actor=self.actor, actor_id=actor_id, target=self.target, target_id=target_id, role_id=role_id,
                inherited=self.inherited,
            )
        )  # fmt: skip

    def revoke(self, ctx: Ctx) -> None:
        found = self.find(ctx, "revoke")
        ctx.note("assignment", found.role_id, found.target_id if self.target == "project" else "")
        ctx.db.delete(found)


GRANTS = [
    Grant(actor, target, inherited)
    for actor in ("user", "group")
    for target in ("project", "domain", "system")
    for inherited in (False, True)
    if not (inherited and target == "system")
]

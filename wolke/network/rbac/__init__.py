"""Sharing: what one project owns and others may use. See ``sharing`` for what a shareable resource does."""

from wolke.network.rbac.sharing import (
    RbacPolicyInUse,
    close,
    forget,
    refuse_in_use,
    share,
    shareable,
    shared_filter,
    shared_ids,
    shared_with,
    shown,
    targets,
    visible,
    visible_to,
)
from wolke.network.rbac.table import EVERYBODY, EXTERNAL, SHARED, RbacPolicy

__all__ = [
    "EVERYBODY", "EXTERNAL", "SHARED", "RbacPolicy", "RbacPolicyInUse", "close", "forget", "refuse_in_use", "share", "shareable",
    "shared_filter", "shared_ids", "shared_with", "shown", "targets", "visible", "visible_to",
]  # fmt: skip

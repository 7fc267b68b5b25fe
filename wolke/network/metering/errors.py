"""Errors of metering, by Neutron's names (neutron_lib/exceptions/metering.py)."""

from __future__ import annotations

from wolke.core.errors import BadRequest, Conflict, NotFound


class Invalid(BadRequest):
    """A rule's prefixes cannot be read, or do not go together."""


class MeteringLabelNotFound(NotFound):
    pass


class MeteringLabelRuleNotFound(NotFound):
    pass


class MeteringLabelRuleOverlaps(Conflict):
    """The label has a rule of the same kind for some of the same addresses."""

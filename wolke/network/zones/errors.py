"""Errors of zones; the class name is the ``type`` that clients see."""

from __future__ import annotations

from wolke.core.errors import BadRequest, Conflict, Forbidden, NotFound


class ZoneNotFound(NotFound):
    pass


class ZoneGrantNotFound(NotFound):
    pass


class ZoneStretchNotFound(NotFound):
    pass


class InvalidZone(BadRequest):
    """A field that the zone's type does not know or needs, or a value that it cannot have."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"Invalid input for {field}: {reason}")


class ZoneInUse(Conflict):
    """Networks stand on the zone that would break."""


class ZoneConflict(Conflict):
    """Two zones, or a zone and a network of the site, would meet on the wire."""


class ZoneGrantExists(Conflict):
    pass


class SegmentInUse(Conflict):
    pass


class NoSegmentLeft(Conflict):
    pass


class ZoneRightMissing(Forbidden):
    """Neither the project, the user nor a group of his has a right on the zone."""

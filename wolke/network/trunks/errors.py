"""Errors of trunks, by Neutron's names (neutron/services/trunk/exceptions.py)."""

from __future__ import annotations

from wolke.core.errors import Conflict, NotFound


class TrunkNotFound(NotFound):
    pass


class SubPortNotFound(NotFound):
    pass


class TrunkPortInUse(Conflict):
    """The port belongs to a trunk already."""


class ParentPortInUse(Conflict):
    pass


class DuplicateSubPort(Conflict):
    """The trunk has a subport with this tag already."""


class SubPortMtuGreaterThanTrunkPortMtu(Conflict):
    pass


class PortInUseAsTrunkParent(Conflict):
    pass


class PortInUseAsSubPort(Conflict):
    pass


class TrunkDisabled(Conflict):
    pass

"""Security groups: what may reach a port and leave it."""

from wolke.network.security_groups.defaults import default_group
from wolke.network.security_groups.groups import put_on, refuse_mixed, take_off, usable

__all__ = ["default_group", "put_on", "refuse_mixed", "take_off", "usable"]

"""Security groups: what may reach a port and leave it."""

from wolke.network.security_groups.defaults import default_group
from wolke.network.security_groups.groups import usable

__all__ = ["default_group", "usable"]

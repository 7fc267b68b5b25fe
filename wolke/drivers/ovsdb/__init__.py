"""OVSDB: a live copy of a database and a way to write it."""

from wolke.drivers.ovsdb.idl import Follower, map_of, one_of
from wolke.drivers.ovsdb.link import Link, Operation, Tls

__all__ = ["Follower", "Link", "Operation", "Tls", "map_of", "one_of"]

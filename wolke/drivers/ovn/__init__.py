"""OVN: the northbound database that we write and the southbound one that we read."""

from wolke.drivers.ovn.northbound import Northbound
from wolke.drivers.ovn.southbound import Chassis, Southbound

__all__ = ["Chassis", "Northbound", "Southbound"]

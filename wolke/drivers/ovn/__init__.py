"""OVN: the northbound database that we write and the southbound one that we read."""

from wolke.drivers.ovn.northbound import Northbound
from wolke.drivers.ovn.southbound import Binding, Chassis, Southbound

__all__ = ["Binding", "Chassis", "Northbound", "Southbound"]

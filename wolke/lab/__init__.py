"""A whole cloud's hosts on one machine, made of namespaces; all engines are real."""

from wolke.lab.host import Host
from wolke.lab.lab import Lab
from wolke.lab.node import LabError, Node
from wolke.lab.waiting import wait_for

__all__ = ["Host", "Lab", "LabError", "Node", "wait_for"]

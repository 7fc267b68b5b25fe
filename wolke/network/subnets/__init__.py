"""Subnets: the address ranges of a network, and what its ports are told by DHCP."""

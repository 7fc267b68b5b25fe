"""Subnet pools: prefixes that subnets are cut from."""

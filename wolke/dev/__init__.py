"""Hosts that live in memory: for ``wolke dev`` and fast tests."""

"""Security groups: what may reach a port and leave it."""

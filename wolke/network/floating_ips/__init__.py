"""Floating IPs: outside addresses that lead to a port."""

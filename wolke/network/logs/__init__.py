"""Logs: which packets that security groups let through or drop leave a line on their host."""

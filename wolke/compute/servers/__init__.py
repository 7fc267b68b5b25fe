"""Servers: the guests of a project."""

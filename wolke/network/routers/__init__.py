"""Routers: between a project's networks, and from them to the outside."""

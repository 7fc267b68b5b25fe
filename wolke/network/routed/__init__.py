"""Routed prefixes: addresses of projects that mean the same everywhere, and where the world finds them."""

"""Wolke: a private cloud in one package.

``docs/design/0001-structure.md`` shows how the parts hang together.
"""

__version__ = "0.1.0"

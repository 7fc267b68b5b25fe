"""Wolke: a private cloud in one package.

``docs/design/0001-structure.md`` shows how the parts hang together.
"""

import sys

# httpx brings a program for the command line (click, rich, pygments: 4 MiB in each of our processes). It is optional there;
# so it is said to be missing.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

__version__ = "0.1.0"

"""What reading has in common: values of texts in the tables, and queries for some things or for all."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

address_of = lru_cache(65536)(ip_address)
net_of = lru_cache(65536)(lambda text: ip_network(text, strict=False))


def chosen(query: Any, column: Any, ids: Collection[str] | None) -> Any:
    """The query for those rows alone; for all without ``ids``."""
    return query if ids is None else query.where(column.in_(ids))

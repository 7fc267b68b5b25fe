"""Regular expressions in filters of lists: what is let through ends soon, what might not is refused."""

from __future__ import annotations

import re

import pytest

from wolke.compute.servers.filters import harmless
from wolke.core.errors import BadRequest

ENDLESS = [
    "(a+)+$",
    "(a|aa)+$",
    "(a|a?)+$",
    "a?" * 40 + "a" * 40,
    "(ab|ab)" * 30,
    r"(.*)\1\1\1",
    "(.*a){20}",
    ".*.*.*.*=",
    "(?=a*)*b",
    "a" * 256,
]


@pytest.mark.parametrize("text", ENDLESS)
def test_what_might_never_end_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="too complex"):
        harmless("name", text)


@pytest.mark.parametrize("text", ["(", "a{2,1}", "[z-a]", "*", "(?P<n"])
def test_what_is_no_expression_is_told(text: str) -> None:
    with pytest.raises(BadRequest, match="regex"):
        harmless("name", text)


@pytest.mark.parametrize(
    "text", ["web", "^web-[0-9]+$", "web.*db.*", r"^10\.0\.0\.(1|2|3)$", "(?i)web", "we?b|db", r"\d{3}", "a*a*b?c"]
)
def test_what_people_write_is_let_through_and_ends_soon(text: str) -> None:
    re.search(harmless("name", text), "a" * 255)

"""The command line takes what the operator's guide shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wolke.cli.main import parser

GUIDE = Path(__file__).parents[2] / "docs" / "operator-guide.md"
SHOWN = re.findall(r"(?:^|`)wolke ([a-z][^`#\n]* --config [^`#\n]*)", GUIDE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("words", sorted(set(SHOWN)))
def test_a_command_of_the_guide_is_taken(words: str) -> None:
    asked = parser().parse_args(words.split())
    assert asked.config == Path("F")


def test_the_guide_shows_every_command_that_needs_settings() -> None:
    shown = {words.split()[0] for words in SHOWN}
    assert shown == {"init", "api", "loops", "agent", "join-token", "host", "token-keys", "audit"}

"""The end of a guest's serial console log, however long the file is."""

from __future__ import annotations

import os
from pathlib import Path

LIMIT = 100 * 1024  # bytes that one call gives at most (Nova: MAX_CONSOLE_BYTES)


def tail(path: Path, lines: int | None = None, limit: int = LIMIT) -> str:
    """The last ``lines`` lines, or all, of the last ``limit`` bytes; empty where nothing was written yet."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            text = file.read(limit).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    if lines is None:
        return text
    return "".join(text.splitlines(keepends=True)[-lines:]) if lines > 0 else ""

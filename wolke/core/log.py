"""Structured logs: one JSON object a line, with request id, kind and id where there are any."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar

import msgspec

request_id: ContextVar[str] = ContextVar("request_id", default="")


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "from": record.name,
            "message": record.getMessage(),
        }
        if rid := request_id.get():
            line["request_id"] = rid
        for name in ("kind", "id", "hint", "method", "path", "status", "milliseconds"):
            if (value := record.__dict__.get(name)) not in (None, ""):
                line[name] = value
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def start(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Below a warning, some of them write addresses whole: with the token of a console's link, or a password in an import's.
    for noisy in ("httpx2", "httpcore2", "alembic", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)

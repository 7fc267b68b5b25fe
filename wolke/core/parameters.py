"""A query parameter's text as a value."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Float, Integer
from sqlalchemy.orm import InstrumentedAttribute

from wolke.core.errors import BadRequest

TRUTH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def converted(name: str, column: InstrumentedAttribute[Any], value: str) -> Any:
    """A query parameter's text as a value of the column. Raises BadRequest, naming the parameter."""
    kind = column.type
    try:
        if isinstance(kind, Boolean):
            return truth(name, value)
        if isinstance(kind, Integer):
            number = int(value)
            if number.bit_length() > 63:
                raise ValueError("more than a column holds")
            return number
        if isinstance(kind, Float):
            return float(value)
    except ValueError as error:
        raise BadRequest(f"Invalid input for {name}: '{value}' is not a number") from error
    return value


def truth(name: str, value: str) -> bool:
    """What a query parameter's text says. Raises BadRequest, naming the parameter."""
    if value.lower() not in TRUTH:
        raise BadRequest(f"Invalid input for {name}: '{value}' is not true or false")
    return TRUTH[value.lower()]

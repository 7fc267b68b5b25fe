"""Request bodies: msgspec structs that refuse what they do not know, and errors that name the field."""

from __future__ import annotations

import re
import threading
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from wolke.core.errors import BadRequest
from wolke.core.versions import Since, Version

__all__ = ["UNSET", "Body", "OpenBody", "Text255", "UnsetType", "envelope", "given", "known", "parse", "take_over"]

T = TypeVar("T")
Text255 = Annotated[str, Meta(max_length=255)]
DEEPEST = 100  # objects and lists in one another: what is kept as it was sent is walked through later


class Body(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What one call takes. ``UNSET`` as a default means "not given"; a field's microversions stand in ``Since``."""


class OpenBody(Struct, kw_only=True, omit_defaults=True):
    """A body that keeps what it does not know in ``extra``, for APIs that store any attribute (identity)."""

    extra: dict[str, Any] = msgspec.field(name="*", default_factory=dict)


@cache
def envelope(singular: str, inner: Any, plural: str = "") -> type[Struct]:
    """The object around a body: ``{"port": {...}}``, or ``{"ports": [{...}]}`` where a plural may come instead."""
    fields: list[Any] = [(singular, inner)]
    if plural:
        fields = [(singular, inner | UnsetType, UNSET), (plural, list[inner] | UnsetType, UNSET)]
    words = [*singular.split("_"), *getattr(inner, "__name__", "Any").split("_"), "One" if not plural else "OneOrMany"]
    name, module = "".join(word[:1].upper() + word[1:] for word in words), getattr(inner, "__module__", None)
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True, kw_only=True, module=module)


def given(body: Struct) -> dict[str, Any]:
    """The fields that the caller has sent, by attribute name."""
    found = ((name, getattr(body, name)) for name in body.__struct_fields__)
    return {name: value for name, value in found if value is not UNSET}


def take_over(thing: Any, body: Struct, *names: str) -> None:
    """Set those of the attributes that the body gives; the others stay as they are."""
    for name in names:
        if (value := getattr(body, name)) is not UNSET:
            setattr(thing, name, value)


_known: dict[int, Any] = {}  # types that msgspec has looked into, by id
_meeting = threading.Lock()


def known(type: T) -> T:
    """The type, once msgspec has looked into it.

    It does so when it first meets a type, and two threads that meet one at the same moment crash the process (msgspec 0.22).
    """
    if id(type) not in _known:
        with _meeting:
            msgspec.json.Decoder(type)
            _known[id(type)] = type
    return type


_PLACE = re.compile(r"(?P<what>.*?)(?: - at `(?P<place>[^`]*)`)?$", re.DOTALL)


def parse(type: Any, raw: bytes, version: Version | None = None, strict: bool = False) -> Any:
    """The decoded body.

    Raises
    ------
    BadRequest: no JSON, or a field that is unknown, missing, of the wrong type or length, holds a NUL or is too deep; the message names it
    """
    try:
        body = msgspec.json.decode(raw, type=known(type), strict=strict)
    except msgspec.ValidationError as error:
        raise BadRequest(explain(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"Malformed request body: {error}" if raw else "A JSON body is required.") from error
    except RecursionError as error:
        raise BadRequest(f"Invalid input: it is nested more than {DEEPEST} times") from error
    if b"\\u0000" in raw or raw.count(b"{") + raw.count(b"[") > DEEPEST:  # else there can be neither
        refuse_odd(msgspec.json.decode(raw))
    if isinstance(body, Struct):
        _keep_extra(body, raw)
        if version is not None:
            _check_versions(body, msgspec.json.decode(raw), version)
    return body


def refuse_odd(sent: Any) -> None:
    """Raises BadRequest, naming the field: it holds a NUL, which PostgreSQL does not keep and no engine takes, or is nested too deeply."""
    left = [("", sent, 1)]
    while left:
        place, one, level = left.pop()
        if isinstance(one, str) and "\0" in one:
            raise BadRequest(f"Invalid input for {place or 'the body'}: it holds a NUL character")
        if isinstance(one, dict | list) and level > DEEPEST:
            raise BadRequest(f"Invalid input for {place[:255]}: it is nested more than {DEEPEST} times")
        if isinstance(one, dict):
            left += [(place, name, level) for name in one]
            left += [(f"{place}.{name}" if place else name, value, level + 1) for name, value in one.items()]
        elif isinstance(one, list):
            left += [(f"{place}[...]", value, level + 1) for value in one]


def _keep_extra(body: Struct, raw: bytes) -> None:
    for name, encoded in zip(body.__struct_fields__, body.__struct_encode_fields__, strict=True):
        if isinstance(inner := getattr(body, name), OpenBody):
            sent, known = msgspec.json.decode(raw)[encoded], {*inner.__struct_encode_fields__}
            inner.extra = {key: value for key, value in sent.items() if key not in known}


def explain(error: str) -> str:
    """
    >>> explain("Expected `str`, got `int` - at `$.port.name`")
    'Invalid input for port.name: Expected `str`, got `int`'
    """
    match = _PLACE.match(error)
    assert match
    place = (match["place"] or "").removeprefix("$").removeprefix(".")
    return f"Invalid input for {place}: {match['what']}" if place else f"Invalid input: {match['what']}"


@cache
def _marks(type: type[Struct]) -> dict[str, Since]:
    hints = get_type_hints(type, include_extras=True)
    names = dict(zip(type.__struct_fields__, type.__struct_encode_fields__, strict=True))
    return {
        names[name]: mark
        for name, hint in hints.items()
        if get_origin(hint) is Annotated
        for mark in get_args(hint)[1:]
        if isinstance(mark, Since)
    }


def _check_versions(body: Struct, raw: Any, version: Version) -> None:
    for name, mark in _marks(type(body)).items():
        if name in raw and not mark.has(version):
            raise BadRequest(f"Additional properties are not allowed ('{name}' was unexpected)")
    for name, encoded in zip(body.__struct_fields__, body.__struct_encode_fields__, strict=True):
        inner = getattr(body, name)
        if isinstance(inner, Struct):
            _check_versions(inner, raw[encoded], version)
        elif isinstance(inner, list) and inner and isinstance(inner[0], Struct):
            for one, sent in zip(inner, raw[encoded], strict=True):
                _check_versions(one, sent, version)

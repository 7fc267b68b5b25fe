"""Microversions: a mark on the field, a line in the view.

https://specs.openstack.org/openstack/api-sig/guidelines/microversion_specification.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from wolke.core.errors import BadRequest, NotAcceptable

Version = tuple[int, int]
_SPELLING = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Since:
    """Annotation of a body's field: it exists from this version on (and up to ``until``, that one included)."""

    version: Version
    until: Version | None = None

    def has(self, version: Version) -> bool:
        return self.version <= version and (self.until is None or version <= self.until)


@dataclass(frozen=True, slots=True)
class Versions:
    service: str  # as the header names it: compute
    lowest: Version
    highest: Version
    legacy_header: str = ""  # X-OpenStack-Nova-API-Version

    def asked(self, headers: Mapping[str, str]) -> Version:
        """The version that the caller wants; the lowest when none is named.

        Raises
        ------
        BadRequest: the header cannot be read
        NotAcceptable: this cloud does not speak that version
        """
        wanted = ""
        for part in headers.get("openstack-api-version", "").split(","):
            name, _, number = part.strip().partition(" ")
            if name == self.service:
                wanted = number.strip()
        wanted = wanted or headers.get(self.legacy_header.lower(), "") if self.legacy_header else wanted
        if not wanted:
            return self.lowest
        if wanted == "latest":
            return self.highest
        match = _SPELLING.fullmatch(wanted)
        if not match:
            raise BadRequest(f"API Version String {wanted} is of invalid format. Must be of format MajorNum.MinorNum.")
        version = int(match[1]), int(match[2])
        if not self.lowest <= version <= self.highest:
            raise NotAcceptable(
                f"Version {wanted} is not supported by the API. Minimum is {spell(self.lowest)} and maximum is {spell(self.highest)}."
            )
        return version

    def headers(self, version: Version) -> dict[str, str]:
        told = {"OpenStack-API-Version": f"{self.service} {spell(version)}", "Vary": "OpenStack-API-Version"}
        if self.legacy_header:
            told |= {self.legacy_header: spell(version), "Vary": f"OpenStack-API-Version, {self.legacy_header}"}
        return told


def spell(version: Version) -> str:
    return f"{version[0]}.{version[1]}"

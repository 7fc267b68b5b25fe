"""Queries that no client writes: every list of every service answers them, none breaks."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.conftest import Cloud
from wolke import cloud as control

LISTS = sorted(
    {
        (service.prefix + call.path, "x-openstack-nova-api-version" if service.versions else "")
        for service in control.services()
        for call in service.calls
        if call.method == "GET" and "{" not in call.path
    }
)
NAMES = (
    "limit",
    "marker",
    "sort_key",
    "sort_dir",
    "sort",
    "offset",
    "name",
    "id",
    "ip",
    "created_at",
    "changes-since",
    "min_ram",
    "size_min",
)
VALUES = {
    "endless": "9" * 5000,
    "huge": "9" * 17,
    "nul": "a\0b",
    "negative": "-1",
    "percent": "%_%",
    "quotes": "'\"\\",
    "not ascii": "\u0663\u00e9",
}


@pytest.mark.slow
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_no_list_breaks_at_a_query(cloud: Cloud, value: str) -> None:
    broken = [
        (path, name, answer.status_code)
        for path, version in LISTS
        for name in NAMES
        if (
            answer := cloud.admin.get(f"{path}?{name}={quote(value)}", headers={version: "2.90"} if version else {})
        ).status_code
        >= 500
    ]
    assert not broken


def test_a_filter_by_a_number_beyond_all_is_refused_by_name(cloud: Cloud) -> None:
    for text in ("9" * 20, "-" + "9" * 20, "9" * 5000):
        answer = cloud.member.get(f"/network/v2.0/networks?revision_number={text}")
        assert answer.status_code == 400 and "revision_number" in answer.text, answer.text

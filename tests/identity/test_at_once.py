"""The same name asked for at the same moment is given once, on both databases."""

from __future__ import annotations

from collections import Counter

import pytest

V3 = "/identity/v3"


@pytest.mark.parametrize(
    ("path", "kind"),
    [("projects", "project"), ("users", "user"), ("groups", "group"), ("domains", "domain"), ("roles", "role")],
)
def test_a_name_is_given_once(cloud, path, kind):
    wish = {kind: {"name": "twin"}}
    answers = cloud.at_once(*[lambda api: api.post(f"{V3}/{path}", json=wish)] * 6, by="admin")
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 5}

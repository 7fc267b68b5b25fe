"""What of Neutron's extensions is announced, and that each of the others is absent for a reason."""

from __future__ import annotations

from pathlib import Path

from wolke.network.absent import ABSENT
from wolke.network.extensions import EXTENSIONS

KNOWN = set((Path(__file__).parent / "neutron-aliases.txt").read_text().split())  # neutron-lib's, and Neutron's own


def test_every_extension_is_announced_or_absent_for_a_reason():
    assert not EXTENSIONS.keys() & ABSENT.keys()
    assert EXTENSIONS.keys() | ABSENT.keys() >= KNOWN, sorted(KNOWN - EXTENSIONS.keys() - ABSENT.keys())


def test_what_is_announced_is_neutron_s_or_named_as_ours():
    assert all(alias in KNOWN or alias.startswith("wolke-") for alias in EXTENSIONS)


def test_clients_are_told_the_announced_ones(cloud):
    told = {one["alias"] for one in cloud.reader.get("/network/v2.0/extensions").json()["extensions"]}
    assert told == EXTENSIONS.keys()
    assert cloud.reader.get("/network/v2.0/extensions/vpnaas").status_code == 404

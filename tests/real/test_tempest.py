"""The unmodified tempest against a cloud with hosts: the guideline's identity and network tests, and all of network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.tempest import names, target_at, tempest
from wolke.lab import Lab
from wolke.lab.furnish import admin_password

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]


def test_the_guideline_s_identity_and_network_and_all_of_network(lab: Lab, tmp_path: Path) -> None:
    asked = [*names("interop-identity"), *names("interop-network")]
    seen = tempest(target_at(lab.url, admin_password(lab)), tmp_path / "tempest", [*asked, "tempest.api.network."])
    assert not seen.failed and not seen.missing, f"{seen}\n{seen.text}"
    stray = {name: why for name, why in seen.skipped.items() if "extension not enabled" not in why.lower()}
    assert all("Security compliance" in why for why in stray.values()), str(seen)
    print(seen)

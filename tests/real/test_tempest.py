"""The unmodified tempest against a cloud with hosts: the guideline's identity and network tests, and all of network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.tempest import names, target_at, tempest
from wolke.lab import Lab
from wolke.lab.furnish import admin_password

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]


def test_the_guideline_s_identity_and_network_and_all_of_network(lab: Lab, tmp_path: Path) -> None:
    asked = [*names("interop-identity"), *names("interop-network"), *names("interop-network-advisory")]
    target = target_at(lab.url, admin_password(lab), lockout=(2, 5), past_passwords=2)
    seen = tempest(target, tmp_path / "tempest", [*asked, "tempest.api.network."])
    assert not seen.failed and not seen.missing, f"{seen}\n{seen.text}"
    assert all("extension not enabled" in why for why in seen.skipped.values()), str(seen)
    print(seen)

"""The unmodified tempest against an API process: what the interoperability guideline asks of identity and network, and all of
tempest's network tests. Nothing here needs a host; the same tests run against hosts in ``tests/real``.

Lists: OpenStack's interoperability guideline 2022.11, https://opendev.org/openinfra/interop
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.flows.conftest import Api
from tests.flows.tempest import Target, names, target_at, tempest

pytestmark = [pytest.mark.flows, pytest.mark.timeout(1800)]
SETTINGS = "lockout_failure_attempts = 3\nlockout_seconds = 5\nunique_last_password_count = 2"
# What belongs to extensions that this API does not announce: nothing is scheduled to agents
ABSENT = ("test_dhcp_agent_scheduler",)
# What needs a host, or the very list of extensions that ``target`` has to bend; ``tests/real`` has them
HOSTS = ("test_routers_dvr", "PortsAdminExtendedAttrs", "test_list_show_extensions")


def target(api: Api) -> Target:
    """No host plugs routers' ports here; "dvr" tells tempest not to wait for them to be ACTIVE."""
    found = target_at(api.url, api.admin_password, lockout=(3, 5), past_passwords=2)
    return replace(found, extensions=(*found.extensions, "dvr"))


@pytest.mark.parametrize("part", ["identity", "network"])
def test_the_guideline_passes_whole(api: Api, tmp_path: Path, part: str) -> None:
    asked = names(f"interop-{part}")
    seen = tempest(target(api), tmp_path / "tempest", asked)
    assert (sorted(seen.passed), seen.failed, seen.skipped) == (sorted(asked), [], {}), f"{seen}\n{seen.text}"


def test_all_of_network_passes_but_what_is_not_announced(api: Api, tmp_path: Path) -> None:
    seen = tempest(target(api), tmp_path / "tempest", ["tempest.api.network."], without=HOSTS)
    assert len(seen.passed) > 200 and not seen.failed, f"{seen}\n{seen.text}"
    stray = {name: why for name, why in seen.skipped.items() if not any(part in name for part in ABSENT)}
    assert not stray, str(seen)

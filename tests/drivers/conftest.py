"""``north``: a northbound database twice, the fake and OVN's own schema in a real ovsdb-server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drivers.ovsdb_server import OVN, OvsdbServer
from wolke.drivers.fake.northbound import Northbound as Fake
from wolke.drivers.ovn import Northbound as Real
from wolke.drivers.rows import (
    Northbound,
)

SCHEMA = OVN / "ovn-nb.ovsschema"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OvsdbServer]:
    made = OvsdbServer(tmp_path, SCHEMA)
    made.start()
    yield made
    made.kill()


@pytest.fixture(params=["fake", "real"])
def north(request: pytest.FixtureRequest) -> Iterator[Northbound]:
    if request.param == "fake":
        yield Fake()
        return
    made = Real(request.getfixturevalue("server").remote, patience=20)
    made.start()
    yield made
    made.close()

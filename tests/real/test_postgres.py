"""The same cloud on PostgreSQL: one URL is the whole difference."""

from __future__ import annotations

import os

import pytest

from tests.postgres import server
from wolke.lab import Lab, wait_for
from wolke.lab.furnish import administrator

pytestmark = [pytest.mark.real, pytest.mark.postgres]


def test_a_network_comes_true_on_postgres():
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    with server() as postgres, postgres.database() as url:
        lab = Lab(f"p{os.getpid()}", hosts=1, database=url)
        try:
            lab.up()
            api = administrator(lab).client
            made = api.post("/network/v2.0/networks", json={"network": {"name": "on postgres"}})
            assert made.status_code == 201
            id = made.json()["network"]["id"]
            assert wait_for(lambda: id in lab.ovn_nbctl("ls-list"), 30)
            for process in ("api", "loops"):
                lab.kill(process)
                lab.start(process)
            assert api.delete(f"/network/v2.0/networks/{id}").status_code == 204
            assert wait_for(lambda: id not in lab.ovn_nbctl("ls-list"), 30)
        finally:
            lab.down()

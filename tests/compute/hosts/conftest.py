"""``farm``: servers as rows, without the compute API around them, and what their hosts make of them."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.conftest import RED, Cloud
from wolke.compute.hosts.wanted import slice_of
from wolke.compute.hosts_table import Host, bump
from wolke.compute.servers.table import Server, ServerAction, ServerPort
from wolke.core.work import wake
from wolke.image.store import Store
from wolke.image.table import Image
from wolke.wire.wanted import Wanted


class Farm:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.database = cloud, cloud.app.database
        self.networks = 0

    def image(self, content: bytes = b"a disk", **columns: Any) -> str:
        id = str(uuid.uuid4())
        self.cloud.app.part(Store).path(id).write_bytes(content)
        checksum = hashlib.sha512(content).hexdigest()
        with self.database.transaction() as db:
            fields = {"disk_format": "raw", "container_format": "bare", "size": len(content), "os_hash_value": checksum}
            db.add(Image(id=id, name="disk", project_id=RED, data="active", **fields | columns))
        return id

    def network(self, cidr: str = "10.0.0.0/24") -> str:
        made = self.cloud.member.post("/network/v2.0/networks", json={"network": {"name": "net"}}).json()["network"]
        subnet = {"network_id": made["id"], "ip_version": 4, "cidr": cidr}
        assert self.cloud.member.post("/network/v2.0/subnets", json={"subnet": subnet}).status_code == 201
        return str(made["id"])

    def port(self, network_id: str, **fields: Any) -> dict[str, Any]:
        made = self.cloud.member.post("/network/v2.0/ports", json={"port": {"network_id": network_id, **fields}})
        assert made.status_code == 201, made.text
        return dict(made.json()["port"])

    def server(self, *port_ids: str, image: str = "", owned: bool = False, **columns: Any) -> str:
        """A server that waits for its host."""
        id = columns.pop("id", str(uuid.uuid4()))
        fields: dict[str, Any] = {
            "name": "web",
            "project_id": RED,
            "user_id": "u",
            "vcpus": 1,
            "ram_mib": 512,
            "disk_gib": 1,
        }
        fields["flavor"] = {
            "name": "small",
            "vcpus": 1,
            "ram": 512,
            "disk": 1,
            "ephemeral": 0,
            "swap": 0,
            "extra_specs": {},
        }
        image = image or self.image()
        with self.database.transaction() as db:
            db.add(
                Server(id=id, image_id=image, created_at=self.cloud.now, updated_at=self.cloud.now, **fields | columns)
            )
            db.flush()
            for position, port_id in enumerate(port_ids):
                db.add(ServerPort(port_id=port_id, server_id=id, position=position, owned=owned))
                from wolke.network.ports.table import Port

                db.execute(update(Port).where(Port.id == port_id).values(device_id=id, device_owner="compute:nova"))
            self.action(db, id, "create")
            wake(db, "server", id)
        return id

    @staticmethod
    def action(db: Any, id: str, name: str) -> None:
        asked = {"request_id": f"req-{name}", "user_id": "u", "project_id": RED, "started_at": db.info["clock"]()}
        db.add(ServerAction(server_id=id, action=name, **asked))

    def change(self, id: str, action: str = "", **columns: Any) -> None:
        """What the compute API does: the wish changes, and its host is told."""
        with self.database.transaction() as db:
            server = db.get(Server, id)
            for name, value in columns.items():
                setattr(server, name, value)
            if action:
                self.action(db, id, action)
            bump(db, server.host)
            wake(db, "server", id)

    def row(self, id: str) -> Any:
        with self.database.read() as db:
            return db.execute(select(Server.__table__).where(Server.id == id)).one()

    def actions(self, id: str) -> dict[str, str | None]:
        """Action -> its error, None while it is under way."""
        with self.database.read() as db:
            found = db.scalars(select(ServerAction).where(ServerAction.server_id == id).order_by(ServerAction.id))
            return {one.action: one.error if one.finished_at else None for one in found}

    def host(self, name: str) -> Any:
        with self.database.read() as db:
            return db.execute(select(Host.__table__).where(Host.name == name)).one()

    def slice(self, host: str) -> Wanted:
        with self.database.read() as db:
            return slice_of(db, self.cloud.app, host)


@pytest.fixture
def farm(cloud: Cloud) -> Farm:
    return Farm(cloud)

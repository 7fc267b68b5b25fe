"""The control plane's settings: one TOML file, read once. Everything has a default but the state directory.

>>> parse('state = "/var/lib/wolke"').region
'RegionOne'
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec


class PhysicalNetwork(msgspec.Struct, forbid_unknown_fields=True):
    """A segment of the site's own network that hosts are plugged into, by the name agents map to a bridge."""

    mtu: int = 1500


class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    state: str  # directory of keys, certificates, images, the SQLite file; 0700
    database: str = ""  # SQLAlchemy URL; "" is SQLite in ``state``
    public_url: str = "http://127.0.0.1:8774"  # what the catalogue tells clients
    listen: str = ""  # "ADDRESS:PORT" of the public API; "" when the starter hands over sockets (LISTEN_FDS)
    agent_url: str = "https://127.0.0.1:8775"  # what agents are told
    agent_listen: str = ""
    northbound: str = ""  # OVN databases, as ovsdb(7) spells them
    southbound: str = ""
    southbound_remote: str = ""  # the southbound database as hosts reach it
    region: str = "RegionOne"
    policy: str = ""  # the operator's policy.yaml
    threads: int = 16  # handlers at a time
    log_level: str = "info"
    token_seconds: int = 3600
    lockout_failure_attempts: int = 0  # wrong passwords in a row that lock a user out; 0: never
    lockout_seconds: int = 1800
    unique_last_password_count: int = 1  # who changes his password may not go back to one of his last so many
    max_body: int = 2 * 2**20  # bytes of a JSON request
    max_image: int = 2**40  # bytes
    image_import_networks: list[str] = []  # private networks that images may be imported from by address
    overlay_mtu: int = 0  # 0: computed from ``underlay_mtu``
    underlay_mtu: int = 1500
    dns_domain: str = "cloud.internal"
    dns_servers: list[str] = []  # given to guests whose subnet names none
    physical_networks: dict[str, PhysicalNetwork] = {}
    cpu_allocation_ratio: float = 4.0
    ram_allocation_ratio: float = 1.0
    disk_allocation_ratio: float = 1.0
    host_timeout_seconds: float = 60.0  # a host that has not told anything for so long is down
    storm_kbit: int = 2000  # broadcast and multicast of one network's guests on one host, kbit/s; 0: no limit
    punts_per_second: int = 500  # packets of one network or router that ovn-controller answers on one host; 0: no limit
    loops_metrics_listen: str = ""  # "ADDRESS:PORT" of the loops' own /metrics; "": none
    metrics_from: tuple[str, ...] = ("127.0.0.1", "::1")  # peers that may read /metrics

    @property
    def state_path(self) -> Path:
        return Path(self.state)

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.state}/wolke.db"


def parse(text: str) -> Config:
    """Settings from TOML text; ``msgspec.ValidationError`` names a key that is unknown or of the wrong type."""
    return msgspec.convert(tomllib.loads(text), Config)


def load(path: Path) -> Config:
    return parse(path.read_text())

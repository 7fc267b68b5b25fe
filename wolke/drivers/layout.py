"""Bridges and ports of Open vSwitch that zones need on a host, as values; ``laying`` makes them so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class LaidPort:
    """A port with one interface, both of that name."""

    name: str
    bridge: str
    zone: str  # whose it is
    type: str = ""  # of the interface: "" is a device of the host; patch, vxlan
    options: Mapping[str, str] = field(default_factory=dict)
    tag: int = 0  # 0: a trunk of all VLANs
    vlan_mode: str = ""  # "" lets Open vSwitch choose; dot1q-tunnel
    protected: bool = False  # no frame goes from one such port to another of the bridge
    other_config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """All bridges (name -> zone) and ports of zones on one host."""

    bridges: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[LaidPort, ...] = ()

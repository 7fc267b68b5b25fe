"""Who may give which attribute of a port. The target of these rules is the port's owner with ``network``, the port's network."""

from __future__ import annotations

from typing import Any

from wolke.core import policy
from wolke.core.auth import Caller


class Owned:
    """A port as the target of a rule, with its network beside it."""

    def __init__(self, port: Any, network: Any, shared: bool) -> None:
        self._port, self.network, self.shared = port, network, shared

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


def operator(caller: Caller, target: Any) -> bool:
    """An admin, or one of the cloud's own services."""
    return policy.service(caller, target)


def seer(caller: Caller, target: Any) -> bool:
    """Who sees a port; whoever owns its network does too (``views.visible``)."""
    return policy.reader(caller, target) or policy.service(caller, target)


def net_owner(caller: Caller, target: Any) -> bool:
    """A member of the project that owns the network."""
    network = getattr(target, "network", None)
    return operator(caller, target) or (network is not None and policy.member(caller, network))


def net_user(caller: Caller, target: Any) -> bool:
    """A member of a project that may put ports on the network; on an external one, only its owner may."""
    shared = getattr(target, "shared", False)  # with the port's project
    return net_owner(caller, target) or (shared and policy.member(caller, target))


def owner_or_net_owner(caller: Caller, target: Any) -> bool:
    return policy.member(caller, target) or net_owner(caller, target)


def monitor(caller: Caller, target: Any) -> bool:
    """The operator's monitor of the hosts' networks."""
    return policy.admin(caller, target) or "data_plane_integrator" in caller.roles


CREATE = {
    "mac_address": net_owner,
    "fixed_ips": net_user,
    "port_security_enabled": net_owner,
    "allowed_address_pairs": net_owner,
    "binding:host_id": operator,
    "binding:profile": operator,
}
UPDATE = {**CREATE, "mac_address": operator, "data_plane_status": monitor}
NETWORK_DEVICE = net_owner  # who may call a port one of the network's own devices
SHOW = dict.fromkeys(("binding:host_id", "binding:profile", "binding:vif_type", "binding:vif_details"), operator)

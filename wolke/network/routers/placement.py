"""Where a router's gateway lives: on one chassis at a time. All that reach the external network's physical segment stand in the
gateway's HA_Chassis_Group, in an order that differs from gateway to gateway (rendezvous hashing), and BFD between them decides.

OVN:  ovn-nb(5): HA_Chassis_Group, HA_Chassis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from wolke.drivers.rows import Row
from wolke.network.routers.legs import Leg

MOST_CHASSIS = 5  # OVN's own limit of useful gateway candidates, as Neutron has it


def candidates(router: Any, group: str, gateway: Leg, chassis: Iterable[Any], owner: str) -> list[Row]:
    """The chassis that may carry the gateway, best first: those that reach its network, of which agents are heard if there are any; those
    that were away a moment ago come last.

    A router that is not to be highly available has one.
    """
    reaching = [one for one in chassis if gateway.network.physical_network in one.physical_networks]
    fit = [one for one in reaching if one.heard] or reaching
    fit.sort(key=lambda one: (one.resting, hashlib.sha256(f"{gateway.port.id}/{one.name}".encode()).digest()))
    if all(one.isolated for one in fit):
        fit = fit[:1]  # of hosts that hear nobody, OVN lets none carry a gateway unless it is the only one
    able = [one.name for one in fit]
    parent = frozenset({("HA_Chassis_Group", group, "ha_chassis")})
    return [
        Row("HA_Chassis", f"{group}/{name}", owner, {"chassis_name": name, "priority": MOST_CHASSIS - at}, parent)
        for at, name in enumerate(able[: MOST_CHASSIS if router.ha else 1])
    ]

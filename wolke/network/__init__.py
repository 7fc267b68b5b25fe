"""Network v2.0: the API of networks, ports, routers, floating IPs and security groups, and their rows in OVN."""

from __future__ import annotations

from sqlalchemy.orm import Session

from wolke.core.app import App
from wolke.core.http import Service
from wolke.core.work import Lane, wake
from wolke.drivers.rows import Northbound
from wolke.network import agents, auto_allocated, availability, extensions, guard, quotas, service_providers, tags
from wolke.network.address_groups import api as address_groups
from wolke.network.address_scopes import api as address_scopes
from wolke.network.bgp import peers as bgp_peers
from wolke.network.bgp import speakers as bgp_speakers
from wolke.network.bgp.watch import AnnouncementWatch
from wolke.network.chassis import Hosts, chassis_lanes
from wolke.network.doorman import effective as doorman_effective
from wolke.network.doorman import exceptions as doorman_exceptions
from wolke.network.doorman import preview as doorman_preview
from wolke.network.doorman import rows as doorman_rows
from wolke.network.doorman import rules as doorman_rules
from wolke.network.drift import api as drift
from wolke.network.drift.lane import drift_lanes
from wolke.network.edge import api as edge
from wolke.network.edge.watch import EdgeWatch
from wolke.network.floating_ips import api as floating_ips
from wolke.network.floating_ips import forwardings, pools
from wolke.network.floating_ips import rows as floating_ip_rows
from wolke.network.lane import SWEEP, Site, northbound_lanes
from wolke.network.logs import api as logs
from wolke.network.logs import rows as log_rows
from wolke.network.metering import api as metering
from wolke.network.metering import counting as metering_counting
from wolke.network.metering import labels as metering_labels
from wolke.network.metering import rules as metering_rules
from wolke.network.ndp_proxies import api as ndp_proxies
from wolke.network.ndp_proxies import rows as ndp_proxy_rows
from wolke.network.networks import api as networks
from wolke.network.ports import api as ports
from wolke.network.ports import bindings as port_bindings
from wolke.network.qos import policies as qos_policies
from wolke.network.qos import rule_types as qos_rule_types
from wolke.network.qos import rules as qos_rules
from wolke.network.rbac import api as rbac_policies
from wolke.network.reachability import api as reachability
from wolke.network.routed import api as routed_prefixes
from wolke.network.routers import api as routers
from wolke.network.routers import rows as router_rows
from wolke.network.security_groups import defaults as group_defaults
from wolke.network.security_groups import groups, statefulness, templates
from wolke.network.security_groups import rows as security_group_rows
from wolke.network.segments import api as segments
from wolke.network.segments import numbers as segment_numbers
from wolke.network.service import network, taggable
from wolke.network.status import PortStatus
from wolke.network.subnetpools import api as subnetpools
from wolke.network.subnets import api as subnets
from wolke.network.topology import api as topology
from wolke.network.trunks import api as trunks
from wolke.network.zones import api as zones
from wolke.network.zones import grants as zone_grants
from wolke.network.zones import stretches as zone_stretches

# Declared by import: calls, and rows of OVN
CALLS = (
    service_providers,
    address_scopes,
    segments,
    bgp_peers,
    bgp_speakers,
    routed_prefixes,
    networks,
    subnets,
    subnetpools,
    groups,
    ports,
    routers,
    floating_ips,
    availability,
    extensions,
    agents,
)
WAYS_IN = (forwardings, pools, ndp_proxies, ndp_proxy_rows, auto_allocated)
ZONES = (zones, zone_grants, zone_stretches)
CARDS = (qos_policies, qos_rules, qos_rule_types, trunks, port_bindings)
METERING = (metering_labels, metering_rules, metering)
PROOF = (reachability, drift, topology)
SHARED = (rbac_policies, address_groups, templates, statefulness, logs)
ROWS = (security_group_rows, log_rows, router_rows, floating_ip_rows)
DOORMAN = (doorman_rules, doorman_exceptions, doorman_effective, doorman_preview, doorman_rows, edge)
for collection in taggable.values():
    tags.declare(collection)
quotas.declare()
SERVICES: list[Service] = [network]


def assemble(app: App) -> None:
    """Nothing to add: the connections to OVN come from whoever runs the loops."""


def lanes(app: App) -> list[Lane]:
    """The work that ``wolke loops`` does for this domain."""
    north = app.part(Northbound)  # type: ignore[type-abstract]
    hosts = app.part(Hosts)  # type: ignore[type-abstract]
    return [
        *northbound_lanes(app.database, north, app.config),
        *drift_lanes(app.database, north, Site(app.config, north.has)),
        PortStatus(north),
        doorman_exceptions.Expiry(app.database),
        EdgeWatch(),
        AnnouncementWatch(),
        metering_counting.lane(app),
        *chassis_lanes(hosts, app.config.host_timeout_seconds),
    ]


def bootstrap(app: App, db: Session) -> None:
    """The rows that a new cloud starts with; run again, it changes nothing that is there."""
    wake(db, *SWEEP)
    wake(db, *security_group_rows.DROP_ITEM)
    wake(db, *guard.ITEM)
    doorman_rules.bootstrap(db)
    rbac_policies.bootstrap(db)
    segment_numbers.bootstrap(db)
    group_defaults.bootstrap(db)

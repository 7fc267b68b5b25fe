"""What of Neutron's extensions this API has not, and why: shown in docs/api-coverage.md. None of them is announced.

Names: neutron-lib's API definitions, and the extensions that Neutron itself adds.
"""

from __future__ import annotations

# reason -> aliases
REASONS: dict[str, tuple[str, ...]] = {
    "Nothing is scheduled to agents: OVN serves DHCP, metadata and routes on every host, FRR speaks BGP on those that reach the network.": (
        "agent-resources-synced", "bgp_dragent_scheduler", "dhcp_agent_scheduler",
        "l3-agent-scheduler-ha-chassis-priority", "l3_agent_scheduler", "network_ha",
    ),
    "OVN loads no connection helpers; protocols that name addresses in their payload (FTP, SIP) need passive modes.": (
        "expose-l3-conntrack-helper", "l3-conntrack-helper",
    ),
    "There is one kind of router, OVN's: nothing to choose a flavor among.": ("l3-flavors", "router-service-type"),
    "Security groups bind router interfaces and gateways (wolke-router-security-groups), the doorman (/wolke/v1/doorman) the edge.": (
        "fwaas_v2", "standard-attr-fwaas-v2",
    ),
    "EVPN is the operator's: a zone of /wolke/v1/zones, with rights for projects.": (
        "bgpvpn", "bgpvpn-routes-control", "bgpvpn-vni", "evpn", "rbac-bgpvpn", "standard-attr-bgpvpn",
        "standard-attr-bgpvpn-network-association", "standard-attr-bgpvpn-port-association",
        "standard-attr-bgpvpn-router-association",
    ),
    "VLAN, QinQ and their ranges are declared by zones (/wolke/v1/zones).": ("network-segment-range", "qinq", "vlan-transparent"),
    "VPN between sites comes with the interconnect; it is not there yet.": (
        "vpn-aes-ccm-gcm", "vpn-aes-ctr", "vpn-endpoint-groups", "vpn-flavors", "vpn-no-sha1-3des", "vpnaas",
    ),
    "Chains of service functions are built with an appliance in the project: port security off, address pairs, host routes, a trunk.": (
        "flow_classifier", "sfc",
    ),
    "Mirrors of ports are not there yet.": ("taas", "taas-vlan-filter", "tap-mirror", "tap-mirror-both-direction"),
    "No such hardware is driven: SR-IOV, accelerators, DPDK, NUMA of network cards.": (
        "port-device-profile", "port-hardware-offload-type", "port-hint-ovs-tx-steering", "port-hints", "port-numa-affinity-policy",
        "port-mac-override", "port-numa-affinity-policy-socket", "port-trusted-vif", "uplink-status-propagation",
        "uplink-status-propagation-updatable",
    ),
    "Servers are not placed by bandwidth: a minimum that nobody guarantees is not offered.": (
        "port-resource-request", "port-resource-request-groups", "qos-bw-minimum-ingress", "qos-pps-minimum",
        "qos-pps-minimum-rule-alias",
    ),
    "Isolation inside a network is what security groups do.": ("pvlan",),
    "No subnet is bound to a segment: OVN's switches are everywhere. Zones stretch a network over another wire.": (
        "multi-provider", "segment", "segments-peer-subnet-host-routes", "standard-attr-segment", "subnet-segmentid-enforce",
        "subnet-segmentid-writable",
    ),
    "There is no external name service to publish to.": ("dns-integration-domain-keywords", "subnet-dns-publish-fixed-ip"),
    "neutron-lib has the name alone: Neutron has no code for it, no client knows a call or an attribute of it.": (
        "network-cascade-delete", "project-default-networks",
    ),
    "A router's own attribute distributed says where all its floating IPs are translated. Neutron has no code for one floating IP's, and"
    " no client gives it.": (
        "floating-ip-distributed",
    ),
}  # fmt: skip
ABSENT = {alias: reason for reason, aliases in REASONS.items() for alias in aliases}

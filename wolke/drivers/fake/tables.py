"""The tables of OVN's northbound schema, 23.03, as far as we write them; a test compares them with the installed schema.

One column per line: ``name type``. ``@Table`` and ``~Table`` are strong and weak references, ``(a|b)`` the allowed values,
``(0..9)`` the range of a number or of a string's length; ``?`` is optional, ``*`` any number, ``+`` at least one,
``key->value`` a map. ovn-nb(5).
"""

from __future__ import annotations

import re

from wolke.drivers.ovn.tables import MANY, Base, Column, Table, table

TEXT = """
Copp root unique(name)
    name string
    meters string->string
    external_ids string->string
Logical_Switch root
    name string
    ports @Logical_Switch_Port*
    acls @ACL*
    qos_rules @QoS*
    load_balancer ~Load_Balancer*
    load_balancer_group @Load_Balancer_Group*
    dns_records ~DNS*
    copp ~Copp?
    other_config string->string
    external_ids string->string
Logical_Switch_Port unique(name)
    name string
    type string
    options string->string
    parent_name string?
    tag_request integer(0..4095)?
    tag integer(1..4095)?
    addresses string*
    dynamic_addresses string?
    port_security string*
    up boolean?
    enabled boolean?
    dhcpv4_options ~DHCP_Options?
    dhcpv6_options ~DHCP_Options?
    ha_chassis_group @HA_Chassis_Group?
    external_ids string->string
Address_Set root unique(name)
    name string
    addresses string*
    external_ids string->string
Port_Group root unique(name)
    name string
    ports ~Logical_Switch_Port*
    acls @ACL*
    external_ids string->string
Load_Balancer root
    name string
    vips string->string
    protocol string(sctp|tcp|udp)?
    health_check @Load_Balancer_Health_Check*
    ip_port_mappings string->string
    selection_fields string(eth_dst|eth_src|ip_dst|ip_src|tp_dst|tp_src)*
    options string->string
    external_ids string->string
Load_Balancer_Group root unique(name)
    name string
    load_balancer ~Load_Balancer*
Load_Balancer_Health_Check
    vip string
    options string->string
    external_ids string->string
ACL
    name string(..63)?
    priority integer(0..32767)
    direction string(from-lport|to-lport)
    match string
    action string(allow|allow-related|allow-stateless|drop|reject)
    log boolean
    severity string(alert|debug|info|notice|warning)?
    meter string?
    label integer(0..4294967295)
    options string->string
    external_ids string->string
QoS
    priority integer(0..32767)
    direction string(from-lport|to-lport)
    match string
    action string(dscp)->integer(0..63)
    bandwidth string(burst|rate)->integer(1..4294967295)
    external_ids string->string
Meter root unique(name)
    name string
    unit string(kbps|pktps)
    bands @Meter_Band+
    fair boolean?
    external_ids string->string
Meter_Band
    action string(drop)
    rate integer(1..4294967295)
    burst_size integer(0..4294967295)
    external_ids string->string
Logical_Router root
    name string
    ports @Logical_Router_Port*
    static_routes @Logical_Router_Static_Route*
    policies @Logical_Router_Policy*
    enabled boolean?
    nat @NAT*
    load_balancer ~Load_Balancer*
    load_balancer_group @Load_Balancer_Group*
    copp ~Copp?
    options string->string
    external_ids string->string
Logical_Router_Port unique(name)
    name string
    gateway_chassis @Gateway_Chassis*
    ha_chassis_group @HA_Chassis_Group?
    options string->string
    networks string+
    mac string
    peer string?
    enabled boolean?
    ipv6_ra_configs string->string
    ipv6_prefix string*
    external_ids string->string
Logical_Router_Static_Route
    route_table string
    ip_prefix string
    policy string(dst-ip|src-ip)?
    nexthop string
    output_port string?
    bfd ~BFD?
    options string->string
    external_ids string->string
Logical_Router_Policy
    priority integer(0..32767)
    match string
    action string(allow|drop|reroute)
    nexthop string?
    nexthops string*
    options string->string
    external_ids string->string
NAT
    external_ip string
    external_mac string?
    external_port_range string
    logical_ip string
    logical_port string?
    type string(dnat|dnat_and_snat|snat)
    allowed_ext_ips @Address_Set?
    exempted_ext_ips @Address_Set?
    gateway_port ~Logical_Router_Port?
    options string->string
    external_ids string->string
DHCP_Options root
    cidr string
    options string->string
    external_ids string->string
DNS root
    records string->string
    external_ids string->string
Gateway_Chassis unique(name)
    name string
    chassis_name string
    priority integer(0..32767)
    external_ids string->string
    options string->string
HA_Chassis
    chassis_name string
    priority integer(0..32767)
    external_ids string->string
HA_Chassis_Group root unique(name)
    name string
    ha_chassis @HA_Chassis*
    external_ids string->string
BFD root unique(logical_port,dst_ip)
    logical_port string
    dst_ip string
    min_tx integer(1..)?
    min_rx integer?
    detect_mult integer(1..)?
    status string(admin_down|down|init|up)?
    external_ids string->string
    options string->string
Static_MAC_Binding root unique(logical_port,ip)
    logical_port string
    ip string
    mac string
    override_dynamic_mac boolean
"""

BASE = re.compile(r"(?P<type>[@~]?\w+)(?:\((?P<limits>[^)]*)\))?(?P<many>[?*+]?)")
COUNTS = {"": (1, 1), "?": (0, 1), "*": (0, MANY), "+": (1, MANY)}


def northbound_tables() -> dict[str, Table]:
    """The tables by name."""
    tables = {}
    for block in re.split(r"\n(?=\S)", TEXT.strip()):
        head, *lines = block.splitlines()
        name, *flags = head.split()
        indexes = tuple(tuple(flag[7:-1].split(",")) for flag in flags if flag.startswith("unique("))
        columns = dict(_column(line) for line in lines)
        tables[name] = table(name, "root" in flags, columns, indexes)
    return tables


def _column(line: str) -> tuple[str, Column]:
    name, text = line.split()
    key, arrow, value = text.partition("->")
    if arrow:
        return name, Column(_base(key)[0], _base(value)[0], 0, MANY)
    base, (least, most) = _base(key)
    return name, Column(base, None, least, most)


def _base(text: str) -> tuple[Base, tuple[int, int]]:
    match = BASE.fullmatch(text)
    assert match, text
    kind, limits, many = match["type"], match["limits"] or "", COUNTS[match["many"]]
    if kind[0] in "@~":
        return Base("uuid", table=kind[1:], strong=kind[0] == "@"), many
    if ".." in limits:
        low, high = (int(one) if one else None for one in limits.split(".."))
        return Base(kind, low=low, high=high), many
    return Base(kind, frozenset(limits.split("|")) if limits else frozenset()), many

"""Rows as the network writes them, for the tests of ``Northbound``."""

from __future__ import annotations

from wolke.drivers.rows import Insert, Northbound, Parent, Ref, Row, Unavailable, Value, plan

PORTS: frozenset[Parent] = frozenset({("Logical_Switch", "net", "ports")})


def switch(key: str = "net") -> Row:
    return Row("Logical_Switch", key, f"network/{key}", {"name": key})


def port(key: str = "port", **columns: Value) -> Row:
    return Row("Logical_Switch_Port", key, f"port/{key}", columns, PORTS)


def group(key: str = "pg") -> Row:
    return Row("Port_Group", key, f"security_group/{key}")


def rule(key: str = "rule", **columns: Value) -> Row:
    given = {"priority": 1002, "direction": "to-lport", "match": "ip4", "action": "allow-related", **columns}
    return Row("ACL", key, f"rule/{key}", given, frozenset({("Port_Group", "pg", "acls")}))


def router(key: str = "router") -> Row:
    return Row("Logical_Router", key, f"router/{key}")


def inserts(*rows: Row) -> list[Insert]:
    return [Insert(row) for row in rows]


def settled(north: Northbound, *rows: Row) -> bool:
    """Whether each of the rows stands there just so."""
    owners = {row.owner for row in rows}
    return plan(rows, [row for owner in owners for row in north.rows(owner)]) == []


def raises_unavailable(north: Northbound) -> bool:
    try:
        north.rows("network/net")
    except Unavailable:
        return True
    return False


def every_table() -> list[Row]:
    """One row of each table, joined to each other as the network joins them."""

    def lists(table: str, key: str, column: str) -> frozenset[Parent]:
        return frozenset({(table, key, column)})

    binding = {"logical_port": "lrp", "ip": "10.0.0.9", "mac": "02:00:00:00:00:09", "override_dynamic_mac": True}
    return [
        switch(),
        port(addresses=frozenset({"router"}), type="router", options={"router-port": "lrp"}, port_security=frozenset()),
        group(),
        rule(log=True, severity="info", meter="m", name="deny", label=4294967295),
        Row("QoS", "q", "qos/q", {"priority": 9, "direction": "to-lport", "match": "ip", "bandwidth": {"rate": 9, "burst": 1},
            "action": {"dscp": 46}}, lists("Logical_Switch", "net", "qos_rules")),
        Row("DNS", "d", "network/net", {"records": {"vm.example.": "10.0.0.5"}}, lists("Logical_Switch", "net", "dns_records")),
        Row("Address_Set", "as", "group/as", {"addresses": frozenset({"10.0.0.0/24", "10.1.0.0/24"})}),
        router(),
        Row("Logical_Router_Port", "lrp", "port/port", {"mac": "02:00:00:00:00:01", "networks": frozenset({"10.0.0.1/24"}),
            "ipv6_ra_configs": {"address_mode": "slaac"}}, lists("Logical_Router", "router", "ports")),
        Row("Gateway_Chassis", "lrp-host1", "port/port", {"chassis_name": "host1", "priority": 2},
            lists("Logical_Router_Port", "lrp", "gateway_chassis")),
        Row("Static_MAC_Binding", "lrp 10.0.0.9", "port/port", binding),
        Row("BFD", "bfd", "router/router", {"logical_port": "lrp", "dst_ip": "10.0.0.2", "min_tx": 200}),
        Row("Logical_Router_Static_Route", "r", "router/router", {"ip_prefix": "0.0.0.0/0", "nexthop": "10.0.0.2",
            "output_port": "lrp", "bfd": Ref("BFD", "bfd")}, lists("Logical_Router", "router", "static_routes")),
        Row("Logical_Router_Policy", "p", "router/router", {"priority": 1, "match": "ip4", "action": "reroute",
            "nexthops": frozenset({"10.0.0.2"})}, lists("Logical_Router", "router", "policies")),
        Row("NAT", "n", "floatingip/n", {"type": "dnat_and_snat", "external_ip": "198.51.100.7", "logical_ip": "10.0.0.5",
            "external_mac": "02:00:00:00:00:07", "logical_port": "port", "gateway_port": Ref("Logical_Router_Port", "lrp")},
            lists("Logical_Router", "router", "nat")),
        Row("Load_Balancer", "lb", "loadbalancer/lb", {"name": "lb", "protocol": "udp", "vips": {"10.9.0.1:53": "10.0.0.5:53"},
            "selection_fields": frozenset({"ip_src", "tp_src"})}, lists("Logical_Router", "router", "load_balancer")),
        Row("HA_Chassis_Group", "gw", "router/router"),
        Row("HA_Chassis", "h", "router/router", {"chassis_name": "host1", "priority": 1},
            lists("HA_Chassis_Group", "gw", "ha_chassis")),
        Row("Meter_Band", "mb", "qos/m", {"action": "drop", "rate": 100, "burst_size": 0}),
        Row("Meter", "m", "qos/m", {"unit": "pktps", "bands": frozenset({Ref("Meter_Band", "mb")}), "fair": True}),
        Row("DHCP_Options", "o", "subnet/o", {"cidr": "10.0.0.0/24", "options": {"router": "10.0.0.1", "mtu": "1442"}}),
    ]  # fmt: skip

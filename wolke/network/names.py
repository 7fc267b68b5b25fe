"""How our things are called in OVN: one place, because several resources name each other's rows.

A logical port's name is the port's id (also the ``iface-id`` on the host). A logical switch's name, and its key, is the network's id.
"""

from __future__ import annotations

SWITCH = "Logical_Switch"
PORT = "Logical_Switch_Port"
DHCP = "DHCP_Options"
GROUP = "Port_Group"
DROP_GROUP = "pg_drop"  # every port with port security that is not a service's; what no group allows is dropped there


def owner(kind: str, id: str) -> str:
    """Of a row: which resource it belongs to, ``kind`` being the table's name and the work item's kind."""
    return f"{kind}/{id}"


def port_group(group_id: str) -> str:
    """A security group's Port_Group; OVN takes no dash in the names that matches mention.

    >>> port_group("0a-1b")
    'pg_0a_1b'
    """
    return f"pg_{group_id.replace('-', '_')}"


def door(network_id: str) -> str:
    """The ports of a network that the operator's rules stand before."""
    return f"pg_door_{network_id.replace('-', '_')}"


def localnet(network_id: str) -> str:
    """The switch port that leads to a provider's physical network."""
    return f"provnet-{network_id}"


def dhcp_options(subnet_id: str) -> str:
    """What every port of a subnet is told."""
    return subnet_id


def dhcp_options_of(subnet_id: str, port_id: str) -> str:
    """What one port is told that has options of its own (``extra_dhcp_opts``)."""
    return f"{subnet_id} {port_id}"


def dns(network_id: str) -> str:
    return network_id


def router_port(port_id: str) -> str:
    """The Logical_Router_Port on the other side of a router's port."""
    return f"lrp-{port_id}"


def metadata_device(network_id: str) -> str:
    """``device_id`` of a network's metadata port, as Neutron's OVN driver spells it."""
    return f"ovnmeta-{network_id}"

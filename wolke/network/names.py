"""How our things are called in OVN: one place, because several resources name each other's rows.

A logical port's name is the port's id (also the ``iface-id`` on the host). A logical switch's name, and its key, is the network's id.
"""

from __future__ import annotations

SWITCH = "Logical_Switch"
PORT = "Logical_Switch_Port"
DHCP = "DHCP_Options"
GROUP = "Port_Group"
DROP_GROUP = "pg_drop"  # every port with port security that is not a service's; what no group allows is dropped there
ROUTER_DROP_GROUP = "pg_router_drop"  # the same for ports of routers that have security groups


def owner(kind: str, id: str) -> str:
    """Of a row: which resource it belongs to, ``kind`` being the table's name and the work item's kind."""
    return f"{kind}/{id}"


def port_group(group_id: str) -> str:
    """A security group's Port_Group; OVN takes no dash in the names that matches mention.

    >>> port_group("0a-1b")
    'pg_0a_1b'
    """
    return f"pg_{group_id.replace('-', '_')}"


def router_group(group_id: str) -> str:
    """The Port_Group of those ports of routers that a security group is on; OVN tracks no connections there."""
    return f"rpg_{group_id.replace('-', '_')}"


def address_set(address_group_id: str, family: str) -> str:
    """An address group's Address_Set of one family, ``ip4`` or ``ip6``."""
    return f"ag_{address_group_id.replace('-', '_')}_{family}"


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


def gateway_group(port_id: str) -> str:
    """The HA_Chassis_Group of the hosts that may carry a router's gateway."""
    return f"hacg-{port_id}"


def metadata_device(network_id: str) -> str:
    """``device_id`` of a network's metadata port, as Neutron's OVN driver spells it."""
    return f"ovnmeta-{network_id}"

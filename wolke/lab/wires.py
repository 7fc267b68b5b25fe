"""The cables of a lab: two segments in a namespace of their own, veth pairs to every node.

``underlay`` joins the hosts and the control node (tunnels, agents); ``provider`` joins the hosts' uplinks and the internet.
"""

from __future__ import annotations

from collections.abc import Sequence

from wolke.lab.node import Node, run

UNDERLAY = "100.64.0"  # RFC 6598; inside the lab's namespaces only, so every lab has the same
CONTROL_ADDRESS = f"{UNDERLAY}.1"
INTERNET = {4: "198.51.100.1/24", 6: "2001:db8::1/64"}  # gateways of the provider network
OUTSIDE = {4: "198.51.100.254/32", 6: "2001:db8:ffff::1/128"}  # "servers on the internet", on its loopback
MTU = 1500
SEGMENTS = ("underlay", "provider")


def host_address(number: int) -> str:
    return f"{UNDERLAY}.{10 + number}"


def bridges(wires: Node) -> bool:
    """Make the two segments as bridges of the kernel; False when it has none.

    A bridge learns and floods like a switch, and passes VLAN tags untouched.
    """
    return all(kernel_bridge(wires, bridge) for bridge in SEGMENTS)


def kernel_bridge(wires: Node, bridge: str) -> bool:
    if not is_up(wires, bridge):
        wires.run(["ip", "link", "delete", bridge], check=False)
        traits = ["mtu", str(MTU), "type", "bridge", "forward_delay", "0", "mcast_snooping", "0"]
        if wires.run(["ip", "link", "add", bridge, *traits], check=False).returncode:
            return False
        wires.run(["ip", "link", "set", bridge, "up"])
    return True


def segment(wires: Node, bridge: str) -> None:
    """One more segment beside the two, of the same make."""
    if not (has_link(wires, SEGMENTS[0]) and kernel_bridge(wires, bridge)):
        switch_bridges(wires, (bridge,))


def switch_bridges(wires: Node, bridges: Sequence[str] = SEGMENTS) -> None:
    """The same segments as bridges of a userspace Open vSwitch that runs in the node."""
    for bridge in bridges:
        words = ["ovs-vsctl", "--timeout=20", "--may-exist", "add-br", bridge]
        wires.run([*words, "--", "set", "bridge", bridge, "datapath_type=netdev"])


def plug(wires: Node, bridge: str, port: str) -> None:
    if wires.path(f"/sys/class/net/{bridge}/bridge").exists():
        wires.run(["ip", "link", "set", port, "master", bridge])
    else:
        wires.run(["ovs-vsctl", "--timeout=20", "--if-exists", "del-port", port, "--", "add-port", bridge, port])
    wires.run(["ip", "link", "set", port, "up"])


def cable(wires: Node, bridge: str, node: Node, interface: str, *, bare: bool = False) -> None:
    """Plug a node into a segment, unless it is.

    Checksums are computed at once: userspace OVS reads frames as they are, and would drop what a network card was to finish.
    ``bare``: only OVS is to hear what arrives. The node's own kernel would answer ARP for ``br-phy``'s address with this card's MAC
    (userspace OVS then drops the tunnels' packets), and take addresses from the router advertisements of the provider network.
    """
    if is_up(node, interface):  # the last step below
        return
    port = f"{bridge[0]}-{node.name}"
    if has_link(wires, port):  # half a cable, or one whose other node died
        wires.run(["ip", "link", "delete", port], check=False)
    run(
        *f"ip -n {wires.netns} link add {port} mtu {MTU} type veth peer name {interface} mtu {MTU} netns {node.netns}".split()
    )
    plug(wires, bridge, port)
    node.run(["ethtool", "-K", interface, "tx", "off"])
    if bare:
        node.run(["sysctl", "-qw", f"net.ipv6.conf.{interface}.disable_ipv6=1"])
        node.run(["ip", "link", "set", interface, "arp", "off"])
    node.run(["ip", "link", "set", interface, "up"])


def pull(wires: Node, node: Node, *, plugged: bool) -> None:
    """Pull the node's underlay cable, or plug it in again."""
    wires.run(["ip", "link", "set", f"u-{node.name}", "up" if plugged else "down"])


def internet(node: Node) -> None:
    """Addresses and forwarding of the outside world."""
    for family, device, address in (
        (4, "provider", INTERNET[4]), (6, "provider", INTERNET[6]), (4, "lo", OUTSIDE[4]), (6, "lo", OUTSIDE[6])
    ):  # fmt: skip
        node.run(
            ["ip", f"-{family}", "address", "replace", address, "dev", device, *(["nodad"] if family == 6 else [])]
        )
    node.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])


def has_link(node: Node, interface: str) -> bool:
    return node.path(f"/sys/class/net/{interface}").exists()


def is_up(node: Node, interface: str) -> bool:
    flags = node.path(f"/sys/class/net/{interface}/flags")
    return flags.exists() and bool(int(flags.read_text(), 16) & 1)

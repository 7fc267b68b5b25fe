"""The engines of a lab: OVN's databases and northd on the control node; OVS, ovn-controller and libvirtd on each host.

Started in the foreground with their files in the node's private directories. See ovsdb-server(1), ovn-northd(8), ovs-vswitchd(8),
ovn-controller(8), libvirtd(8). Userspace OVS: a tunnel's local address must sit on an OVS bridge that holds the uplink (``br-phy``).
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

from wolke.lab.daemons import Daemon
from wolke.lab.node import LabError, Node
from wolke.lab.waiting import wait_for
from wolke.lab.wires import CONTROL_ADDRESS, has_link, host_address

SOUTHBOUND_PORT = 6642
SCHEMAS = {"nb": "ovn-nb.ovsschema", "sb": "ovn-sb.ovsschema"}

# Root runs everything; a namespace host has no cgroups, no security module and no journal.
QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
remember_owner = 0
"""
LIBVIRTD_CONF = """\
auth_unix_rw = "none"
auth_unix_ro = "none"
host_uuid = "{uuid}"
log_filters = "3:util.netlink 3:node_device"
"""


def datapath() -> str:
    """``system`` where the kernel has Open vSwitch's module, else ``netdev`` (userspace)."""
    loaded = Path("/sys/module/openvswitch").exists()
    if not loaded:
        loaded = subprocess.run(["modprobe", "-q", "openvswitch"], check=False, capture_output=True).returncode == 0
    return "system" if loaded else "netdev"


def serves(node: Node, *words: str) -> Callable[[], bool]:
    """A question: does this command end well?"""
    return lambda: bool(node.pid) and node.run(words, check=False, timeout=10).returncode == 0


# The control node -------------------------------------------------------------
def control(node: Node, directory: Path) -> list[Daemon]:
    """OVN's two databases and northd; the databases also answer on unix sockets in the lab's directory."""
    files = directory / "ovn"

    def database(kind: str, *remotes: str) -> Daemon:
        path = files / f"{kind}.db"
        schema = Path("/usr/share/ovn") / SCHEMAS[kind]

        def create() -> None:
            files.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                node.run(["ovsdb-tool", "create", str(path), str(schema)])

        words = ["ovsdb-server", str(path), f"--remote=punix:{files}/{kind}.sock", f"--unixctl={files}/{kind}.ctl"]
        words += [f"--remote={remote}" for remote in remotes]
        ready = serves(node, "ovs-appctl", "-t", f"{files}/{kind}.ctl", "version")
        return Daemon(name=f"ovn-{kind}", node=node, words=lambda: words, before=create, ready=ready)

    northd = [
        "ovn-northd",
        f"--ovnnb-db=unix:{files}/nb.sock",
        f"--ovnsb-db=unix:{files}/sb.sock",
        f"--unixctl={files}/northd.ctl",
    ]
    status = serves(node, "ovs-appctl", "-t", f"{files}/northd.ctl", "status")
    return [
        database("nb"),
        database("sb", f"ptcp:{SOUTHBOUND_PORT}:{CONTROL_ADDRESS}"),
        Daemon(name="northd", node=node, words=lambda: northd, ready=status),
    ]


# A host -----------------------------------------------------------------------
def private(directory: Path, name: str) -> dict[str, Path]:
    """What every host has to itself, target -> source."""
    home = directory / name
    return {
        target: home / source
        for target, source in {
            "/etc/openvswitch": "etc/openvswitch",
            "/etc/ovn": "etc/ovn",
            "/etc/libvirt": "etc/libvirt",
            "/var/lib/openvswitch": "lib/openvswitch",
            "/var/lib/libvirt": "lib/libvirt",
            "/var/cache/libvirt": "cache/libvirt",
            "/var/log/openvswitch": "log/openvswitch",
            "/var/log/ovn": "log/ovn",
            "/var/log/libvirt": "log/libvirt",
        }.items()
    }


def configure(directory: Path, name: str) -> None:
    """The host's files under /etc, as an installer would leave them."""
    etc = directory / name / "etc"
    (etc / "libvirt").mkdir(parents=True, exist_ok=True)
    (etc / "libvirt" / "qemu.conf").write_text(QEMU_CONF)
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"{directory}/{name}")  # libvirt migrates between different hosts only
    (etc / "libvirt" / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(uuid=identity))


# What ``ovs-ctl --monitor`` does on other machines: a vswitchd that aborts is started again. Whoever kills the shell kills it as well; the
# lock is its own until it has gone.
MONITORED = """\
exec 9>/run/openvswitch/monitor.lock; flock 9
begin() {{ setpriv --pdeathsig KILL ovs-vswitchd unix:/run/openvswitch/db.sock --pidfile & }}
begin
until wait $!; [ $? -ne 134 ]; do
    echo 'ovs-vswitchd has aborted: it is started again'
    begin
    {again}
done
"""
READDRESS = "until ip link set br-phy up 2>/dev/null; do sleep 0.1; done; ip address replace {address}/24 dev br-phy"


# A guest whose QEMU was about to be let go when libvirtd died: libvirt 9.0 takes it for one that starts, for ever, and lets nobody
# touch it. The same line stands in the operator's guide, as a drop-in for systemd.
UNBORN = "grep -ls \"<domstatus .* pid='0'>\" /run/libvirt/qemu/*.xml | xargs -r rm -f"


def switch(node: Node, after: Callable[[], None], again: str = ":") -> list[Daemon]:
    """Open vSwitch: its database and vswitchd; ``after`` each start of vswitchd, ``again`` (shell) after it has aborted."""
    database = "/etc/openvswitch/conf.db"

    def make_database() -> None:
        node.run(["mkdir", "-p", "/run/openvswitch", "/run/ovn"])
        if not node.path(database).exists():
            node.run(["ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema"])

    ovsdb = ["ovsdb-server", database, "--remote=punix:/run/openvswitch/db.sock", "--pidfile"]
    ovsdb += ["--remote=db:Open_vSwitch,Open_vSwitch,manager_options"]
    vswitchd = ["sh", "-c", MONITORED.format(again=again)]
    return [
        Daemon(
            name=f"{node.name}/ovsdb", node=node, words=lambda: ovsdb, before=make_database,
            ready=serves(node, "ovs-vsctl", "--timeout=5", "--no-wait", "init"),
        ),
        Daemon(
            name=f"{node.name}/vswitchd", node=node, words=lambda: vswitchd, after=after,
            ready=serves(node, "ovs-appctl", "version"),
        ),
    ]  # fmt: skip


def host(node: Node, number: int, blocked: Callable[[], list[str]]) -> list[Daemon]:
    """OVS, ovn-controller and libvirtd of one host; ``blocked()`` tells the underlay addresses it is parted from."""

    def plumb() -> None:
        plumb_host(node, number)
        part(node, blocked())

    controller = ["ovn-controller", "unix:/run/openvswitch/db.sock", "--pidfile"]
    return [
        *switch(node, plumb, READDRESS.format(address=host_address(number))),
        Daemon(
            name=f"{node.name}/ovn-controller", node=node, words=lambda: controller,
            ready=serves(node, "ovn-appctl", "-t", "ovn-controller", "version"),
        ),
        Daemon(
            name=f"{node.name}/libvirtd", node=node, words=lambda: ["libvirtd", "-f", "/etc/libvirt/libvirtd.conf"],
            before=lambda: node.run(["sh", "-c", UNBORN]),
            ready=serves(node, "virsh", "-c", "qemu:///system", "version"),
        ),
    ]  # fmt: skip


def plumb_host(node: Node, number: int) -> None:
    """The operator's part of a host: uplinks in their bridges, the tunnel endpoint's address on ``br-phy``.

    Needed again after each start of userspace vswitchd, because ``br-phy`` is its own device and goes with it.
    """
    kind = datapath()
    words = ["ovs-vsctl", "--timeout=20", "--may-exist", "add-br", "br-phy"]
    words += [
        "--",
        "set",
        "bridge",
        "br-phy",
        f"datapath_type={kind}",
        f"other_config:hwaddr=02:00:64:40:00:{number:02x}",
    ]
    words += ["--", "--may-exist", "add-port", "br-phy", "uplink"]
    words += ["--", "--may-exist", "add-br", "br-ex", "--", "set", "bridge", "br-ex", f"datapath_type={kind}"]
    words += ["--", "--may-exist", "add-port", "br-ex", "provider"]
    node.run(words)
    answers = serves(node, "ovs-ofctl", "show", "br-phy")  # ovs-vsctl only waits when it changed something
    if not wait_for(lambda: answers() and has_link(node, "br-phy"), 20):
        raise LabError(f"{node.name}: ovs-vswitchd did not make br-phy")
    node.run(["sh", "-c", READDRESS.format(address=host_address(number))])


def join_southbound(node: Node, number: int) -> None:
    """What the agent does on a host that has one: OVN's settings in the local database."""
    settings = {
        "system-id": node.name,
        "hostname": node.name,
        "ovn-remote": f"tcp:{CONTROL_ADDRESS}:{SOUTHBOUND_PORT}",
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": host_address(number),
        "ovn-bridge-mappings": "public:br-ex",
        "ovn-bridge-datapath-type": datapath(),
    }
    pairs = [f'external_ids:{key}="{value}"' for key, value in settings.items()]
    node.run(["ovs-vsctl", "--timeout=20", "set", "open_vswitch", ".", *pairs])


def part(node: Node, addresses: list[str]) -> None:
    """Drop everything between this host and the addresses on the underlay; an empty list heals."""
    flows = ["priority=0,actions=NORMAL"]
    for address in addresses:
        flows += [f"priority=100,ip,nw_{way}={address},actions=drop" for way in ("src", "dst")]
        flows += [f"priority=100,arp,arp_{way}={address},actions=drop" for way in ("spa", "tpa")]
    node.run(["ovs-ofctl", "replace-flows", "br-phy", "-"], input="\n".join(flows) + "\n")

"""Two hosts, one logical switch across both: what the lab calls real must carry packets, and survive the death of each engine."""

import itertools
import re
import threading

import pytest

from wolke.lab import LabError, wait_for

pytestmark = pytest.mark.real

RECEIVE = "import socket; s = socket.create_server(('', 7000)); c, _ = s.accept(); n = 0\nwhile b := c.recv(65536): n += len(b)\nprint(n)"
SEND = "import socket, sys; s = socket.create_connection((sys.argv[1], 7000), 10); s.sendall(bytes(int(sys.argv[2])))"
numbers = itertools.count(1)


@pytest.fixture
def pair(lab):
    """Two guests of one logical switch, each on its own host."""
    net = next(numbers)
    switch = f"net{net}"
    lab.ovn_nbctl("ls-add", switch)
    guests = []
    for number in (1, 2):
        mac, address = f"02:00:00:00:{net:02x}:{number:02x}", f"10.0.{net}.{number}"
        port = f"{switch}-p{number}"
        lab.ovn_nbctl("lsp-add", switch, port, "--", "lsp-set-addresses", port, f"{mac} {address}")
        guests.append(lab.host(number).attach(port, mac, f"{address}/24"))
    yield guests[0], guests[1], f"10.0.{net}.2"
    for guest in guests:
        guest.detach()
    lab.ovn_nbctl("ls-del", switch)


def pings(guest, address, count=1):
    return guest.run(["ping", "-c", str(count), "-W", "1", "-i", "0.2", address], check=False).returncode == 0


def bulk(sender, receiver, address, size):
    """Bytes that arrive over TCP when ``size`` are sent."""
    server = receiver.popen(["python3", "-c", RECEIVE], stdout=-1, text=True)
    assert wait_for(lambda: ":7000" in receiver.run(["ss", "-tln"]).stdout, 20)
    sender.run(["python3", "-c", SEND, address, str(size)])
    return int(server.communicate(timeout=60)[0])


def test_guests_on_two_hosts_exchange_pings_and_bulk_data(pair):
    one, two, address = pair
    assert wait_for(lambda: pings(one, address), 20)
    assert bulk(one, two, address, 20_000_000) == 20_000_000


def test_the_tunnel_carries_1442_bytes_and_not_one_more(pair):
    one, _, address = pair
    assert wait_for(lambda: pings(one, address), 20)
    full = ["ping", "-c", "1", "-W", "2", "-M", "do", address, "-s"]
    assert one.run([*full, str(1442 - 28)], check=False).returncode == 0
    assert one.run([*full, str(1443 - 28)], check=False).returncode != 0


@pytest.mark.parametrize(
    "engine", ["ovn-nb", "ovn-sb", "northd", "h1/ovsdb", "h1/vswitchd", "h1/ovn-controller", "h1/libvirtd"]
)
def test_an_engine_that_was_killed_serves_again_after_start(lab, pair, engine):
    one, _, address = pair
    assert wait_for(lambda: pings(one, address), 20)
    before = lab.status()[engine]["pid"]
    lab.kill(engine)
    assert not lab.status()[engine]["running"]
    lab.start(engine)
    assert lab.status()[engine]["pid"] not in (0, before)
    assert wait_for(lambda: pings(one, address), 30), "no packets after the restart"
    lab.ovn_nbctl("--wait=hv", "sync")  # the whole chain from the northbound database to both hosts answers


def test_a_switch_that_aborts_is_started_again(lab, pair):
    """As ``ovs-ctl`` has it: vswitchd's own assertions end it now and then."""
    one, _, address = pair
    assert wait_for(lambda: pings(one, address), 20)
    before = lab.status()["h1/vswitchd"]
    inside = lab.host(1).run(["pidof", "ovs-vswitchd"]).stdout.split()
    lab.host(1).run(["kill", "-ABRT", *inside])
    assert wait_for(
        lambda: lab.host(1).run(["pidof", "ovs-vswitchd"], check=False).stdout.split() not in ([], inside), 20
    )
    assert wait_for(lambda: pings(one, address), 30), "no packets after the abort"
    after = lab.status()["h1/vswitchd"]
    assert after["running"] and after["pid"] == before["pid"] and after["pss_kib"] > 1000
    lab.kill("h1/vswitchd")
    assert wait_for(lambda: not lab.host(1).run(["pidof", "ovs-vswitchd"], check=False).stdout, 10)
    lab.start("h1/vswitchd")
    assert wait_for(lambda: pings(one, address), 30)


def test_guests_keep_talking_while_the_control_node_has_no_engine(lab, pair):
    one, _, address = pair
    assert wait_for(lambda: pings(one, address), 20)
    for engine in ("northd", "ovn-sb", "ovn-nb"):
        lab.kill(engine)
    try:
        assert pings(one, address, count=5)
    finally:
        for engine in ("ovn-nb", "ovn-sb", "northd"):
            lab.start(engine)


def test_a_partition_stops_the_two_hosts_and_nobody_else(lab, pair):
    one, _, address = pair
    assert wait_for(lambda: pings(one, address), 20)
    lab.partition(1, 2)
    try:
        assert not pings(one, address)
        assert pings(lab.host(1), "100.64.0.1")
        for switch in ("h1/vswitchd", "h2/vswitchd"):
            lab.kill(switch)
            lab.start(switch)
        assert wait_for(lambda: pings(lab.host(1), "100.64.0.1"), 20)
        assert not pings(lab.host(1), "100.64.0.12", count=5), "the partition went with the switches"
    finally:
        lab.heal()
    assert wait_for(lambda: pings(one, address), 20)


def test_a_pulled_cable_cuts_a_host_off(lab):
    lab.partition(2)
    try:
        assert not pings(lab.host(2), "100.64.0.1")
        assert pings(lab.host(1), "100.64.0.1")
    finally:
        lab.heal()
    assert wait_for(lambda: pings(lab.host(2), "100.64.0.1"), 20)


def test_the_internet_is_behind_the_provider_network(lab):
    """A guest on the operator's segment, through OVN's localnet port, reaches addresses that are not on that segment."""
    lab.ovn_nbctl("ls-add", "outside", "--", "lsp-add", "outside", "wire", "--", "lsp-set-type", "wire", "localnet")
    lab.ovn_nbctl("lsp-set-addresses", "wire", "unknown", "--", "lsp-set-options", "wire", "network_name=public")
    lab.ovn_nbctl(
        "lsp-add", "outside", "o1", "--", "lsp-set-addresses", "o1", "02:00:00:00:ff:01 198.51.100.50 2001:db8::50"
    )
    addresses, gateways = ["198.51.100.50/24", "2001:db8::50/64"], ["198.51.100.1", "2001:db8::1"]
    guest = lab.host(1).attach("o1", "02:00:00:00:ff:01", addresses, gateways, mtu=1500)
    try:
        for address in ("198.51.100.1", "198.51.100.254", "2001:db8::1", "2001:db8:ffff::1"):
            assert wait_for(lambda address=address: pings(guest, address), 20), address
    finally:
        guest.detach()
        lab.ovn_nbctl("ls-del", "outside")


def test_hosts_are_apart(lab):
    """Names, processes and files of one host are not the other's."""
    for number in (1, 2):
        host = lab.host(number)
        assert host.run(["hostname"]).stdout.strip() == f"h{number}"
        host.run(["sh", "-c", f"echo {number} > /run/whoami; echo {number} > /etc/openvswitch/whoami"])
    for number in (1, 2):
        host = lab.host(number)
        assert host.run(["cat", "/run/whoami", "/etc/openvswitch/whoami"]).stdout.split() == [str(number)] * 2
        seen = host.run(["ps", "-e", "-o", "comm="]).stdout.split()
        assert seen.count("ovs-vswitchd") == 1 and "ovn-northd" not in seen
        assert re.search(
            r"hypervisor:? QEMU", host.run(["virsh", "-c", "qemu:///system", "version"]).stdout, re.IGNORECASE
        )


def test_commands_tell_how_they_ended(lab):
    assert lab.internet.run(["sh", "-c", "exit 3"], check=False).returncode == 3
    with pytest.raises(LabError, match="no such thing"):
        lab.internet.run(["sh", "-c", "echo no such thing >&2; exit 1"])
    assert lab.control.run(["sleep", "60"], check=False, timeout=0.2).returncode != 0
    assert "sleep" not in lab.control.run(["ps", "-e", "-o", "args="]).stdout.replace("sleep infinity", "")


def test_a_command_ends_with_its_handle(lab):
    running = lab.host(1).popen(["sleep", "12345"])
    sleeping = lambda: "sleep 12345" in lab.host(1).run(["ps", "-e", "-o", "args="]).stdout  # noqa: E731
    assert wait_for(sleeping, 10)
    running.terminate()
    running.wait()
    assert wait_for(lambda: not sleeping(), 10)


def test_up_while_up_changes_nothing(lab):
    before = {name: process["pid"] for name, process in lab.status().items()}
    errors = []

    def again():
        try:
            type(lab)(lab.name, hosts=2).up(control_plane=False)
        except LabError as error:
            errors.append(error)

    threads = [threading.Thread(target=again) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert {name: process["pid"] for name, process in lab.status().items()} == before

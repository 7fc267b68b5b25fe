"""The agent of one host in memory: what the control plane wants becomes true, and is told."""

from __future__ import annotations

from dataclasses import replace

from tests.agent.hosts import ID, IMAGE, nic, server
from wolke.drivers.hypervisor import DriverError, Unreachable, WrongState
from wolke.wire.seen import State
from wolke.wire.wanted import Power

OTHER = ID.replace("0001", "0002")


def test_a_new_server_is_started_when_its_network_is_ready(world):
    world.host.switch.flows = False
    world.control.want(server(config_drive=True))
    world.settle()
    assert world.log() == ["define", "start"]
    assert world.control.told().state is State.PAUSED and world.control.told().revision == 0

    world.host.switch.flows = True
    world.settle(0.1)
    assert world.log() == ["resume"]
    told = world.control.told()
    assert (told.state, told.boot, told.revision, told.nics) == (State.RUNNING, 1, 1, ("port-1",))
    assert world.control.picture.revision == 2 and not world.control.picture.errors
    assert "openstack/latest/meta_data.json" in world.host.disks.drives[ID]


def test_a_network_that_is_never_ready_is_told_and_does_not_hold_the_guest_up(world):
    world.host.switch.flows = False
    world.control.want(server())
    world.settle()
    world.settle(21)
    assert world.control.told().state is State.RUNNING
    assert ID in world.control.picture.errors["network"]

    world.host.switch.flows = True
    world.settle(31)
    assert not world.control.picture.errors


def test_a_guest_that_shuts_itself_down_stays_down_until_it_is_started(world):
    world.control.want(server())
    world.settle()
    world.host.hypervisor.stop(ID)
    world.settle(100)
    told = world.control.told()
    assert (told.state, told.boot, told.revision) == (State.DEFINED, 1, 1)

    world.control.want(server(boot=2, revision=2))
    world.settle()
    assert (world.control.told().state, world.control.told().boot) == (State.RUNNING, 2)


def test_it_also_stays_down_over_a_restart_of_the_agent_but_not_of_the_host(world):
    world.control.want(server())
    world.settle()
    world.host.hypervisor.stop(ID)
    world.start()
    world.settle()
    assert world.control.told().state is State.DEFINED

    world.host.reboot()
    world.control.away = True  # not even the control plane is needed
    world.start()
    world.settle()
    assert world.host.guests[ID].state is State.RUNNING


def test_a_soft_reboot_asks_and_then_does_not_ask(world):
    world.control.want(server())
    world.settle()
    world.log()
    world.host.hypervisor.ignores_acpi.add(ID)
    world.control.want(server(boot=2, revision=2, hard=False, shutdown_seconds=25))
    world.settle()
    world.settle(11)
    world.settle(11)
    assert world.log() == ["shut_down", "shut_down", "shut_down"]
    world.settle(4)
    assert world.log() == ["power_off", "define", "start", "resume"]
    assert world.control.told().boot == 2

    world.host.hypervisor.ignores_acpi.clear()
    world.control.want(server(boot=3, revision=3, hard=False))
    world.settle()
    assert world.log() == ["shut_down", "define", "start", "resume"]


def test_stop_and_start(world):
    world.control.want(server())
    world.settle()
    world.control.want(server(power=Power.STOPPED, hard=False, revision=2))
    world.settle()
    assert (world.control.told().state, world.control.told().revision) == (State.DEFINED, 2)
    world.control.want(server(boot=2, revision=3))
    world.settle()
    assert (world.control.told().state, world.control.told().revision) == (State.RUNNING, 3)


def test_network_interfaces_come_and_go_while_the_guest_runs(world):
    world.control.want(server())
    world.settle()
    world.log()
    world.control.want(server(nics=(nic(1), nic(2)), revision=2))
    world.settle()
    assert world.log() == ["plug"] and world.control.told().nics == ("port-1", "port-2")

    world.host.hypervisor.ignores_unplug.add(
        ID
    )  # the guest's system is still booting: the hypervisor's request is lost
    world.control.want(server(nics=(nic(2),), revision=3))
    world.settle()
    assert world.control.told().revision == 2 and world.control.told().nics == ("port-1", "port-2")
    assert not world.control.told().error
    world.host.hypervisor.ignores_unplug.clear()
    world.settle(6)
    assert world.control.told().nics == ("port-2",) and world.control.told().revision == 3


def test_gone_is_told_until_it_is_no_longer_asked(world):
    world.control.want(server())
    world.settle()
    world.log()
    world.control.want(server(power=Power.GONE, revision=2))
    world.settle()
    assert world.log() == ["power_off", "remove"] and world.host.disks.servers() == set()
    assert world.control.picture.removed == (ID,) and world.control.told() is None
    world.start()
    world.settle()
    assert world.control.picture.removed == (ID,)
    world.control.want()
    world.settle()
    assert world.control.picture.removed == ()
    assert list((world.state / "guests").iterdir()) == []


def test_a_guest_that_nobody_named_is_told_and_left_alone(world):
    world.control.want(server(OTHER, boot=7))
    world.settle()
    world.control.want(server())
    world.settle(100)
    assert world.control.told(OTHER).boot == 7
    world.control.want()
    world.settle(100)
    assert {guest.state for guest in world.host.guests.values()} == {State.RUNNING}
    assert world.control.told(ID).state is State.RUNNING


def test_failures_are_told_back_off_and_end_with_a_new_wish(world):
    tries = []
    image = world.host.disks.image
    world.host.disks.image = lambda *about: tries.append(about) or image(*about)
    world.host.disks.full = True
    world.control.want(server(), server(OTHER))
    world.settle()
    told = world.control.told()
    assert told.error == "The disk could not be made: the host has no space left." and told.hint
    assert (told.state, told.revision, told.boot) == (State.DEFINED, 0, 0)
    for _ in range(600):
        world.settle(1)
    assert 2 * 7 <= len(tries) <= 2 * 10

    world.host.disks.full = False
    world.control.want(server(revision=2), server(OTHER))
    world.settle()
    assert world.control.told().state is State.RUNNING and not world.control.told().error
    assert world.control.told(OTHER).error  # its wish is the old one: its time comes
    world.settle(600)
    assert world.control.told(OTHER).state is State.RUNNING


def test_weeks_of_failures_do_not_end_the_agent(world):
    world.host.disks.full = True
    world.control.want(server())
    for _ in range(1100):
        world.settle(601)
    world.host.disks.full = False
    world.settle(601)
    assert world.control.told().state is State.RUNNING


def test_what_the_driver_refuses_is_told_in_its_words(world):
    world.control.want(server(hints={"hw_machine_type": "x"}))
    world.settle()
    assert world.control.told().error == "The machine type 'x' is not known on the guest's host."


def test_an_error_nobody_thought_of_is_not_shown_to_the_project(world):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("/secret/path")

    world.host.hypervisor.start = broken
    world.control.want(server())
    world.settle()
    assert "secret" not in world.control.told().error and "secret" in world.control.told().hint


def test_a_host_that_does_not_follow_is_not_driven_in_circles(world):
    world.control.want(server())
    world.settle()
    asked = []
    world.host.hypervisor.power_off = asked.append
    world.control.want(server(power=Power.STOPPED, revision=2))
    world.settle()
    assert asked == [ID]
    assert world.control.told().error == "The host did not follow" and world.control.told().revision == 1


def test_a_hypervisor_that_comes_back_is_worked_at_once(world):
    world.control.want(server())
    world.settle()
    world.host.hypervisor.reachable = False
    world.control.want(server(revision=2, boot=2))
    for _ in range(100):
        world.settle(5)
    assert "not reachable" in world.control.picture.errors["hypervisor"]
    assert world.control.told().state is State.RUNNING  # the last that was known
    world.host.hypervisor.reachable = True
    world.settle(2)
    assert world.control.told().boot == 2 and not world.control.picture.errors


def test_what_failed_while_the_hypervisor_was_away_for_a_moment_does_not_sit_out_its_back_off(world):
    """It died during a step and was back before anybody looked: what stood in the way before may have gone with it."""
    start, refusals = world.host.hypervisor.start, [DriverError("stuck")] * 6 + [Unreachable("gone")]

    def refused(*about: object, **more: object) -> None:
        if refusals:
            raise refusals.pop(0)
        start(*about, **more)

    world.host.hypervisor.start = refused
    world.control.want(server())
    world.settle()
    for _ in range(100):
        if len(refusals) > 1:
            world.settle(2)
    assert len(refusals) == 1 and world.control.told().error == "stuck"
    for _ in range(64):
        if refusals:
            world.settle(1)
    assert not refusals
    world.settle(3)
    assert world.control.told().state is State.RUNNING


def test_a_guest_that_ended_before_it_was_let_run_is_started_again(world):
    """libvirtd died while it started the guest, and its successor ended it: that was not the guest's own wish."""
    hypervisor, late = world.host.hypervisor, []
    resume = hypervisor.resume

    def ended(id: str) -> None:
        if not late:
            late.append(id)
            hypervisor.power_off(id)
            raise WrongState("The guest's state does not allow it.")
        resume(id)

    hypervisor.resume = ended
    world.control.want(server())
    world.settle()
    for _ in range(10):
        world.settle(1)
    assert late and world.control.told().state is State.RUNNING


def test_nothing_is_told_before_the_first_look(world):
    world.host.hypervisor.reachable = False
    world.control.want(server())
    world.settle()
    assert world.control.pictures == []


def test_without_the_control_plane_guests_are_worked_and_the_picture_arrives_later(world):
    world.control.want(server())
    world.settle()
    world.control.away = True
    world.host.hypervisor.stop(ID)
    world.settle(60)
    assert world.control.told().state is State.RUNNING
    world.control.away = False
    world.settle(1)
    assert world.control.told().state is State.DEFINED


def test_an_image_that_cannot_be_fetched_now_is_fetched_when_the_control_plane_is_back(world):
    world.control.want(server())
    image = world.control.image

    def away(id, path):
        world.control.away = True
        image(id, path)

    world.control.image = away
    world.start()
    world.settle()
    for _ in range(50):
        world.settle(10)
    world.agent.guests.fetch, world.control.away = image, False
    world.settle(1)
    assert world.control.told().state is State.RUNNING


def test_a_guest_that_has_its_disk_needs_no_image_any_more(world):
    world.control.want(server())
    world.settle()
    lost = replace(server().disk, image=replace(IMAGE, size=0, checksum=""))  # as told once the image was deleted
    world.control.images.clear()
    world.control.want(server(boot=2, revision=2, disk=lost))
    world.settle()
    assert (world.control.told().state, world.control.told().boot) == (State.RUNNING, 2)


def test_a_quiet_host_asks_its_engines_little(world):
    world.control.want(*(server(ID[:-4] + f"{number:04}") for number in range(50)))
    world.settle()
    looks = []
    observe = world.host.hypervisor.observe
    world.host.hypervisor.observe = lambda: looks.append(1) or observe()
    sent = len(world.control.pictures)
    for _ in range(600):
        world.settle(1)
    assert len(looks) <= 21
    assert len(world.control.pictures) - sent <= 21


def test_the_virtual_switch_is_configured_once_per_address(world):
    configured = []
    configure = world.host.switch.configure
    world.host.switch.configure = lambda **fields: configured.append(fields) or configure(**fields)
    world.settle()
    world.settle(100)
    first = {"host": "alpha", "ovn_remote": "tcp:127.0.0.1:6642", "encap_ip": "127.0.0.1", "bridge_mappings": {}}
    assert configured == [first]

    world.host.switch.reachable = False
    world.control.want(ovn_remote="tcp:127.0.0.2:6642")
    world.settle()
    assert world.control.picture.errors["ovs"]
    world.host.switch.reachable = True
    world.settle(6)
    assert world.host.switch.external_ids["ovn-remote"] == "tcp:127.0.0.2:6642" and not world.control.picture.errors


def test_images_that_nothing_is_made_from_are_swept(world):
    world.control.want(server())
    world.settle()
    world.settle(3700)
    assert len(world.host.disks.images) == 1
    world.control.want(server(power=Power.GONE, revision=2))
    world.settle()
    world.control.want()
    world.settle(86400)
    assert world.host.disks.images == {}


def test_a_slice_of_another_host_is_refused(world):
    world.control.want(server())
    world.control.slice = replace(world.control.slice, host="beta")
    world.settle()
    assert world.host.guests == {}

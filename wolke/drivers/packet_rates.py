"""Meters and flows that hold a device to its packet rates, below and above ovn-controller's flows.

What a device sends meets our flow in table 0 first: it counts, sets ``metadata``, which is 0 on what comes from outside, and has the table
looked up again; OVN's flow writes its own over it. What a device is sent meets our flow in the table that hands packets out: it sets a bit
of ``tun_id`` that no tunnel has, and goes by way of a table of ours, which counts, back to OVN's flow. So packets go nowhere but where OVN
has them go: a flow of ours that is out of date limits the wrong device for a moment, or none.

A meter drops a packet for all that is still to be done with it, also for other ports that a broadcast goes to. That the datapath clones it
first needs an action in the very ``clone(...)`` that Open vSwitch before 4.0 holds for one that cannot be undone: a truncated output to a
port that does not exist.

Source: ovs-actions(7), ``meter`` and ``clone``; ofproto/ofproto-dpif-xlate.c, ``reversible_actions``; ovn-architecture(7), life cycle of a
packet; OVN, lib/extend-table.h: ovn-controller numbers its meters from 1 to 65535.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

EGRESS, INGRESS = "egress", "ingress"  # seen from the guest
COOKIE = 0x776F6C6B66
PRIORITY = 50000  # above OVN's own, below that of router advertisements
FIRST_METER = 65536
OWN_TABLE = 250  # OVN's end at 113
MARK = 1 << 63
NOWHERE = 65279  # the last number that a port may have
HANDED_OUT = re.compile(r"reg15=(\w+),metadata=(\w+)(?:,\S+)? actions=(.*output:(\d+).*)")
TAG = re.compile(r"mod_vlan_vid:(\d+)")
TABLE = re.compile(r"table=(\d+)")


class Spot(NamedTuple):
    """Where packets are counted: an OpenFlow port, a VLAN on it (0: what has none), a direction."""

    port: int
    tag: int
    direction: str


class Out(NamedTuple):
    """How OVN hands packets to a spot: table, and the keys of logical port and switch."""

    table: int
    port: str
    switch: str


def outs(lines: Iterable[str]) -> dict[tuple[int, int], Out]:
    """OpenFlow port and VLAN -> what OVN's flow for it matches, of lines of ``ovs-ofctl dump-flows``.

    >>> outs(["cookie=0x1, table=65, priority=100,reg15=0x2,metadata=0x7 actions=output:3",
    ...       "table=65, priority=100,reg15=0x4,metadata=0x8 actions=mod_vlan_vid:100,output:3,strip_vlan"])
    {(3, 0): Out(table=65, port='0x2', switch='0x7'), (3, 100): Out(table=65, port='0x4', switch='0x8')}
    """
    found = {}
    for line in lines:
        if (out := HANDED_OUT.search(line)) and (table := TABLE.search(line)):
            tag = TAG.search(out[3])
            found[int(out[4]), int(tag[1]) if tag else 0] = Out(int(table[1]), out[1], out[2])
    return found


def numbered(spots: Iterable[Spot], former: Mapping[Spot, int]) -> dict[Spot, int]:
    """A meter for each; those that have one keep it.

    >>> numbered([Spot(3, 0, EGRESS), Spot(4, 0, EGRESS)], {Spot(4, 0, EGRESS): 65536})
    {Spot(port=4, tag=0, direction='egress'): 65536, Spot(port=3, tag=0, direction='egress'): 65537}
    """
    wanted = sorted(spots)
    made = {spot: former[spot] for spot in wanted if spot in former}
    taken, next = set(made.values()), FIRST_METER
    for spot in wanted:
        if spot not in made:
            while next in taken:
                next += 1
            made[spot] = next
            taken.add(next)
    return made


def flows(meters: Mapping[Spot, int], ways: Mapping[tuple[int, int], Out]) -> list[str]:
    """What ``ovs-ofctl add-flows`` takes, in the order of the spots."""
    made = []
    for spot, meter in sorted(meters.items()):
        if spot.direction == EGRESS:
            vlan = f"dl_vlan={spot.tag}" if spot.tag else "vlan_tci=0/0xfff"
            match = f"table=0,cookie={COOKIE:#x},priority={PRIORITY},in_port={spot.port},metadata=0,{vlan}"
            made.append(f"{match},actions=meter:{meter},set_field:1->metadata,resubmit(,0)")
            continue
        table, port, switch = ways[spot.port, spot.tag]
        match = f"cookie={COOKIE:#x},priority={PRIORITY},reg15={port},metadata={switch}"
        apart = f"output(port={NOWHERE},max_len=65535),load:1->NXM_NX_TUN_ID[63],resubmit(,{OWN_TABLE})"
        made.append(f"table={table},{match},tun_id=0/{MARK:#x},actions=clone({apart})")
        made.append(f"table={OWN_TABLE},{match},actions=meter:{meter},resubmit(,{table})")
    return made

"""What is read out of a switch's own counters and of its connection tracking: lines as a host has printed them."""

from __future__ import annotations

from wolke.drivers.traffic import conversations, counted, metered, of_ports


def flow(table: int, packets: int, size: int, match: str, actions: str) -> str:
    head = f" cookie=0x1, duration=4.3s, table={table}, n_packets={packets}, n_bytes={size}, idle_age=0, priority=100"
    return f"{head},{match} actions={actions}"


ADDRESS, INNER, UNDO = "198.51.100.139", "10.0.0.58", "ct(table=13,zone=NXM_NX_REG11[0..15],nat)"
FLOWS = [
    flow(12, 30, 2072, f"ip,reg14=0x3,metadata=0x4,nw_dst={ADDRESS}", UNDO),
    flow(12, 1, 98, "ip,reg14=0x3,metadata=0x4,nw_dst=198.51.100.47", UNDO),
    flow(15, 5, 370, f"ip,reg14=0x3,metadata=0x4,nw_dst={ADDRESS}", f"ct(commit,table=16,nat(dst={INNER}))"),
    flow(25, 90, 9000, f"ip,reg14=0x3,metadata=0x4,nw_dst={ADDRESS}", "drop"),
    flow(
        43,
        24,
        1741,
        f"ip,reg15=0x3,metadata=0x4,nw_src={INNER}",
        "mod_dl_src:fa:16:3e:a2:de:20,ct(table=44,zone=1,nat)",
    ),
    flow(45, 1, 98, f"ip,reg15=0x3,metadata=0x4,nw_src={INNER}", f"ct(commit,table=46,zone=1,nat(src={ADDRESS}))"),
    flow(
        45, 3, 294, "ip,reg15=0x3,metadata=0x4,nw_src=10.0.0.0/24", "ct(commit,table=46,zone=1,nat(src=198.51.100.47))"
    ),
    flow(45, 7, 700, f"ip,reg15=0x3,metadata=0x9,nw_src={INNER}", "ct(commit,table=46,zone=1,nat(src=198.51.100.20))"),
    flow(21, 11, 1100, "ipv6,metadata=0x4,ipv6_dst=2001:db8:79::/64", "dec_ttl(),load:0->OXM_OF_PKT_REG4[32..47]"),
]
TRACKED = [
    "icmp,orig=(src=10.0.0.14,dst=198.51.100.254,id=1017,type=8,code=0),"
    "reply=(src=198.51.100.254,dst=198.51.100.47,id=1017,type=0,code=0),zone=6",
    "tcp,orig=(src=198.51.100.1,dst=198.51.100.139,sport=56692,dport=80),"
    "reply=(src=10.0.0.58,dst=198.51.100.1,sport=80,dport=56692),zone=6,protoinfo=(state=TIME_WAIT)",
    "gre,orig=(src=198.51.100.1,dst=198.51.100.139),reply=(src=10.0.0.58,dst=198.51.100.1),zone=6",
]


def test_the_table_that_has_seen_most_counts() -> None:
    inward, outward = counted(FLOWS)
    assert inward == {"198.51.100.139": (30, 2072), "198.51.100.47": (1, 98), "2001:db8:79::/64": (11, 1100)}
    assert outward == {"198.51.100.139": (24, 1741), "198.51.100.47": (3, 294), "198.51.100.20": (7, 700)}


def test_conversations_are_read_with_what_comes_back() -> None:
    assert list(conversations(TRACKED)) == [
        (1, "10.0.0.14", "198.51.100.254", 0, 8, "198.51.100.254", "198.51.100.47", 0, 0),
        (6, "198.51.100.1", "198.51.100.139", 56692, 80, "10.0.0.58", "198.51.100.1", 80, 56692),
    ]


def test_ports_are_counted_as_their_guest_sees_it() -> None:
    told = {"rx_packets": 1, "rx_bytes": 2, "tx_packets": 3, "tx_bytes": 4}
    listed = {"data": [[["map", [["iface-id", "p1"]]], ["map", [[name, value] for name, value in told.items()]]],
                       [["map", []], ["map", []]]]}  # fmt: skip
    assert of_ports(listed) == {"p1": [3, 4, 1, 2]}


def test_flows_that_count_are_told_by_their_cookie() -> None:
    head = " cookie=0x1f, duration={}s, table=21, n_packets={}, n_bytes={}, idle_age=3, priority={},ip,reg14=0x3,metadata=0x4"
    lines = [
        head.format("40.25", 30, 3000, 12324),
        head.format("40.2", 2, 200, 12324),  # one logical flow may be several of the switch's
        head.format("10.5", 7, 700, 12000).replace("0x1f", "0xa"),
        head.format("10.5", 7, 700, 12600).replace("0x1f", "0xb"),  # somebody else's
        head.format("10.5", 0, 0, 12000).replace("0x1f", "0xc"),
    ]
    assert metered(lines, 100.0) == {"1f": (32, 3200, 59.8), "a": (7, 700, 89.5)}

"""What the doorman's rules mean, and that what OVN is told to drop is just what they deny."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest

from wolke.network.doorman import policy
from wolke.network.doorman.policy import ICMP, ICMPV6, TCP, UDP, Exemption, Packet, Rule, TooIntricate, drops, verdict
from wolke.network.doorman.spans import canonical, holds, intersect, networks_of, of_networks, subtract

SMTP = Rule(id="smtp", action="deny", direction="ingress", protocol=TCP, ports=(25, 25))


def packet(**more: Any) -> Packet:
    far, near = more.pop("remote", "198.51.100.254"), more.pop("local", "198.51.100.7")
    usual = {"direction": "ingress", "network_id": "public", "protocol": TCP, "port": 25, "source_port": 40000}
    return Packet(**{**usual, "remote": ip_address(far), "local": ip_address(near), **more})


def test_smtp_is_shut_inwards_and_nothing_else() -> None:
    assert verdict([SMTP], [], packet()) == (False, "smtp")
    assert verdict([SMTP], [], packet(remote="2001:db8::1", local="2001:db8::2")) == (False, "smtp")
    assert verdict([SMTP], [], packet(opening=False)) == (False, "smtp"), "what is under way is cut"
    for other in (packet(port=26), packet(protocol=UDP), packet(direction="egress")):
        assert verdict([SMTP], [], other) == (True, "")
    asked = packet(direction="egress")
    assert verdict([SMTP], [], asked.reply()) == (True, ""), "replies of outbound SMTP"


def test_the_first_rule_that_matches_decides() -> None:
    first = Rule(id="first", action="allow", direction="ingress", remote=(ip_network("198.51.100.254/32"),))
    assert verdict([first, SMTP], [], packet()) == (True, "first")
    assert verdict([SMTP, first], [], packet()) == (False, "smtp")
    assert verdict([first, SMTP], [], packet(remote="198.51.100.253")) == (False, "smtp")


def test_an_exception_passes_over_its_rule_only() -> None:
    free = Exemption(id="free", rule_id="smtp", local=(ip_network("198.51.100.7/32"),))
    rest = Rule(id="rest", action="deny", direction="ingress", protocol=TCP)
    assert verdict([SMTP], [free], packet()) == (True, "free")
    assert verdict([SMTP], [free], packet(local="198.51.100.8")) == (False, "smtp")
    assert verdict([SMTP, rest], [free], packet()) == (False, "rest")
    elsewhere = Exemption(id="free", rule_id="smtp", local=free.local, networks=frozenset({"other"}))
    assert verdict([SMTP], [elsewhere], packet()) == (False, "smtp")
    assert verdict([SMTP], [elsewhere], packet(network_id="other")) == (True, "free")
    allow = Rule(id="allow", action="allow", direction="ingress")
    assert verdict([SMTP, allow], [free], packet()) == (True, "free"), "the exception is what made the difference"
    assert verdict([allow, SMTP], [Exemption(id="no", rule_id="allow")], packet()) == (False, "smtp")


def test_replies_pass_where_a_rule_names_no_low_port() -> None:
    everything = Rule(id="all", action="deny", direction="ingress")
    assert not verdict([everything], [], packet(port=8080)).allowed
    assert verdict([everything], [], packet(direction="egress", port=443).reply()).allowed
    assert not verdict([everything], [], packet(protocol=UDP, port=40000, source_port=53)).allowed, (
        "UDP has no beginning"
    )
    dns = Rule(id="dns", action="allow", direction="ingress", protocol=UDP, source_ports=(53, 53))
    assert verdict([dns, everything], [], packet(protocol=UDP, port=40000, source_port=53)) == (True, "dns")
    assert not verdict([everything], [], packet(protocol=ICMP, port=8)).allowed
    assert verdict([everything], [], packet(protocol=ICMP, port=0)).allowed, "an answer to a ping"
    assert verdict([everything], [], packet(protocol=ICMP, port=3, source_port=4)).allowed, "too big"
    six = {"remote": "2001:db8::1", "local": "2001:db8::2", "protocol": ICMPV6}
    assert verdict([everything], [], packet(port=135, **six)).allowed, "neighbour discovery"
    assert not verdict([everything], [], packet(port=128, **six)).allowed


def test_what_holds_a_link_together_is_never_matched() -> None:
    everything = [Rule(id=way, action="deny", direction=way) for way in ("ingress", "egress")]
    for far, protocol, port in (("255.255.255.255", UDP, 67), ("169.254.169.254", TCP, 80), ("224.0.0.18", 112, 0)):
        assert verdict(everything, [], packet(direction="egress", remote=far, protocol=protocol, port=port)).allowed
    assert verdict(everything, [], packet(local="224.0.0.18", protocol=112, port=0)).allowed
    assert not verdict(everything, [], packet(direction="ingress", remote="169.254.169.254")).allowed
    assert not verdict(everything, [], packet(remote="fe80::1", local="fe80::2")).allowed


def test_rules_stand_at_their_networks_only() -> None:
    here = Rule(id="here", action="deny", direction="ingress", networks=frozenset({"public"}))
    assert not verdict([here], [], packet()).allowed
    assert verdict([here], [], packet(network_id="other")).allowed
    assert drops([here], [], "other", "ingress") == []


def test_too_many_overlaps_are_refused() -> None:
    chance = random.Random(1)

    def some() -> tuple[Any, ...]:
        return tuple(ip_network((chance.getrandbits(12) << 20, 12)) for _ in range(30))

    rules = [
        Rule(
            id=str(n), action="allow", direction="ingress", version=4, protocol=TCP, remote=some(), local=some(),
            ports=(chance.randrange(1000), chance.randrange(2000, 60000)), source_ports=(n, 60000 - n),
        )
        for n in range(60)
    ]  # fmt: skip
    with pytest.raises(TooIntricate):
        drops([*rules, Rule(id="end", action="deny", direction="ingress")], [], "public", "ingress")


# Random rules, random packets: the two readings of one policy agree -------------------------------------------------
FOUR, SIX = [IPv4Address(0xC6336400 + n) for n in range(16)], [IPv6Address((0x20010DB8 << 96) + n) for n in range(16)]
LINK = [ip_address(text) for text in ("255.255.255.255", "169.254.169.254", "224.0.0.5", "10.9.9.9")]
PORTS = [0, 1, 3, 8, 22, 25, 26, 128, 135, 443, 511, 512, 1024, 32768, 40000, 65535]
PROTOCOLS = [ICMP, TCP, UDP, 47, ICMPV6, 132, 50]


def some_prefixes(chance: random.Random) -> Any:
    if chance.random() < 0.6:
        return None
    made = []
    for _ in range(chance.randrange(4)):
        base, bits = chance.choice([(FOUR[0], 32), (SIX[0], 128)])
        size = chance.choice([0, 1, 2, 3, bits])
        made.append(ip_network(((int(base) + chance.randrange(16)) >> size << size, bits - size)))
    return tuple(made)


def a_span(chance: random.Random) -> tuple[int, int]:
    low, high = sorted((chance.choice(PORTS), chance.choice(PORTS)))
    return (low, high) if chance.random() < 0.6 else (low, low)


def a_rule(chance: random.Random, id: str) -> Rule:
    protocol = chance.choice([None, None, *PROTOCOLS])
    named = protocol in (ICMP, TCP, UDP, ICMPV6, 132)
    return Rule(
        id=id, action=chance.choice(["allow", "deny", "deny"]), direction=chance.choice(["ingress", "ingress", "egress"]),
        version=6 if protocol == ICMPV6 else chance.choice([None, None, 4, 6]), protocol=protocol,
        ports=a_span(chance) if named and chance.random() < 0.6 else None,
        source_ports=a_span(chance) if named and chance.random() < 0.2 else None,
        remote=some_prefixes(chance), local=some_prefixes(chance),
        networks=chance.choice([None, None, frozenset({"public"}), frozenset({"other"})]),
    )  # fmt: skip


def a_packet(chance: random.Random) -> Packet:
    pool = chance.choice([FOUR, SIX, LINK if chance.random() < 0.2 else FOUR])
    far, near = chance.choice(pool), chance.choice(FOUR if pool is LINK else pool)
    if pool is LINK and chance.random() < 0.5:
        far, near = near, far
    protocol = chance.choice([one for one in PROTOCOLS if one != (ICMPV6 if far.version == 4 else ICMP)])
    return Packet(
        direction=chance.choice(["ingress", "egress"]), network_id=chance.choice(["public", "other"]), remote=far, local=near,
        protocol=protocol, port=chance.choice(PORTS) if protocol not in (47, 50) else 0,
        source_port=chance.choice(PORTS) if protocol not in (47, 50) else 0, opening=chance.random() < 0.5,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_drops_are_what_the_rules_deny(seed: int) -> None:
    chance = random.Random(seed)
    denied = 0
    for _ in range(5):
        rules = [a_rule(chance, f"r{n}") for n in range(chance.randrange(2, 8))]
        exemptions = [
            Exemption(
                id=f"e{n}",
                rule_id=chance.choice(rules).id,
                local=some_prefixes(chance),
                remote=some_prefixes(chance),
                networks=chance.choice([None, frozenset({"public"}), frozenset({"other"})]),
            )
            for n in range(chance.randrange(4))
        ]
        made = {
            (network, way): drops(rules, exemptions, network, way)
            for network in ("public", "other")
            for way in ("ingress", "egress")
        }
        for _ in range(200):
            one = a_packet(chance)
            allowed, by = verdict(rules, exemptions, one)
            hit = [drop for drop in made[one.network_id, one.direction] if drop.holds(one)]
            assert bool(hit) != allowed, (rules, exemptions, one, by, hit)
            if not allowed:
                denied += 1
                assert {drop.rule_id for drop in hit} >= {by}
            for drop in hit:
                alone = len(drop.protocols) == 1 and drop.protocols[0][0] == drop.protocols[0][1]
                assert alone or (drop.ports, drop.sources) == (policy.NUMBERS, policy.NUMBERS)
    assert denied


def test_spans_count_as_sets_do() -> None:
    chance = random.Random(7)
    for _ in range(500):
        one, two = ({n for n in range(40) if chance.random() < 0.5} for _ in "ab")
        a, b = (canonical((n, n) for n in some) for some in (one, two))
        for spans, numbers in ((subtract(a, b), one - two), (intersect(a, b), one & two)):
            assert {n for n in range(40) if holds(spans, n)} == numbers
            assert spans == canonical(spans)
        assert of_networks(networks_of(a, 4), 4) == a

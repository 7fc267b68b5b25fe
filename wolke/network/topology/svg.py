"""A graph as a picture (SVG 1.1): the world outside on top, routers below, then each network as a panel with its servers.

Lines run in gutters beside the panels, never across them, each in the colour of its network.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from wolke.core.db import Json
from wolke.network.topology.graph import Graph

COLOURS = ("#2f6fde", "#0d9488", "#c2410c", "#7c3aed", "#be185d", "#4d7c0f", "#b45309", "#0369a1", "#9f1239", "#4338ca")
EDGE, GAP, CARD_WIDTH, CARD_HEIGHT, HEAD, PAD = 32, 14, 204, 66, 46, 14  # pixels
MOST_PER_ROW, MOST_WIDTH = 4, 1900
LANE = 9  # between two lines
ROUTER_WIDTH = 250
OUTSIDE = ("#334155", "#57534e", "#3f6212", "#1e3a8a")
STYLE = """
text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2937; }
.title { font-size: 15px; font-weight: 600; } .name { font-size: 13px; font-weight: 600; } .small { font-size: 11px; fill: #4b5563; }
.tiny { font-size: 10px; fill: #6b7280; } .panel { fill: #ffffff; stroke-width: 1.5; } .card { fill: #f8fafc; stroke: #cbd5e1; }
.router { fill: #eef2ff; stroke: #6366f1; stroke-width: 1.5; } .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
"""


@dataclass
class Card:
    """A server, or a port of nobody's, on one network."""

    title: str
    id: str
    lines: list[str]
    groups: str
    up: bool
    off: bool
    badges: list[str]


@dataclass
class Panel:
    network: Json
    subnets: list[Json]
    colour: str
    cards: list[Card] = field(default_factory=list)
    x: float = 0
    y: float = 0

    @property
    def per_row(self) -> int:
        return max(1, min(MOST_PER_ROW, len(self.cards)))

    @property
    def width(self) -> float:
        return 2 * PAD + max(self.per_row, 2) * (CARD_WIDTH + GAP) - GAP

    @property
    def height(self) -> float:
        count = -(-len(self.cards) // self.per_row)
        return HEAD + (count * (CARD_HEIGHT + GAP) if count else 0) + PAD - (GAP if count else 0) + 6


def svg(graph: Graph) -> str:
    """The picture of a graph."""
    return Picture(graph).drawn()


class Picture:
    def __init__(self, graph: Graph) -> None:
        self.by_type: dict[str, list[Json]] = defaultdict(list)
        for node in graph.nodes:
            self.by_type[node["type"]].append(node)
        self.edges: dict[str, list[Json]] = defaultdict(list)
        for edge in graph.edges:
            self.edges[edge["type"]].append(edge)
        self.network_of = {subnet["id"]: subnet["network_id"] for subnet in self.by_type["subnet"]}
        inner = [network for network in self.by_type["network"] if not network["external"]]
        self.outer = [network for network in self.by_type["network"] if network["external"]]
        self.colours = {one["id"]: COLOURS[at % len(COLOURS)] for at, one in enumerate(inner)}
        self.colours |= {one["id"]: OUTSIDE[at % len(OUTSIDE)] for at, one in enumerate(self.outer)}
        self.panels = {one["id"]: self.panel(one) for one in inner}
        self.add_cards()
        self.parts: list[str] = []

    # What is drawn ---------------------------------------------------------------------------------------------------
    def panel(self, network: Json) -> Panel:
        subnets = [subnet for subnet in self.by_type["subnet"] if subnet["network_id"] == network["id"]]
        return Panel(network, subnets, self.colours[network["id"]])

    def add_cards(self) -> None:
        servers = {node["id"]: node for node in self.by_type["server"]}
        its = {edge["source"]: servers[edge["target"]] for edge in self.edges["card"]}
        addresses = {node["id"]: node["floating_ip_address"] for node in self.by_type["floatingip"]}
        badges: dict[str, list[str]] = defaultdict(list)
        for edge in self.edges["leads_to"]:
            badges[edge["target"]].append(addresses[edge["source"]])
        for edge in self.edges["forwards_to"]:
            low, _, high = edge["external_port_range"].partition(":")
            badges[edge["target"]].append(f"{addresses[edge['source']]}:{low if low == high else f'{low}-{high}'}")
        for port in self.by_type["port"]:
            panel = self.panels.get(port["network_id"])
            if panel is None:
                continue
            server = its.get(port["id"])
            title = (server["name"] or server["id"]) if server else (port["name"] or port["id"])
            told = [fixed["ip_address"] for fixed in port["fixed_ips"]] or [port["mac_address"]]
            groups = ", ".join(group["name"] for group in port["security_groups"])
            if not port["port_security_enabled"]:
                groups = "no port security"
            panel.cards.append(
                Card(
                    title,
                    port["id"],
                    told,
                    groups,
                    port["status"] == "ACTIVE",
                    not port["admin_state_up"],
                    badges[port["id"]],
                )
            )

    # Where it stands -------------------------------------------------------------------------------------------------
    def columns(self, top: float, gutter: float) -> tuple[list[list[Panel]], float]:
        """Panels in columns, each below the column that is lowest; their places are set."""
        panels = sorted(self.panels.values(), key=lambda panel: -panel.height)
        widest = max((panel.width for panel in panels), default=0)
        area = sum((panel.height + 28) * (widest + gutter) for panel in panels)
        count = max(
            1,
            min(
                len(panels),
                int(MOST_WIDTH // (widest + gutter)) or 1,
                round((1.6 * area) ** 0.5 / (widest + gutter)) or 1,
            ),
        )
        columns: list[list[Panel]] = [[] for _ in range(count)]
        lows = [top] * count
        for panel in panels:
            at = min(range(count), key=lambda at: lows[at])
            panel.x, panel.y = EDGE + gutter + at * (widest + gutter), lows[at]
            lows[at] += panel.height + 28
            columns[at].append(panel)
        return columns, EDGE + count * (widest + gutter)

    def drawn(self) -> str:
        routers = self.by_type["router"]
        links = self.links()
        gutter = 40 + LANE * max((sum(1 for _, panel, _ in links if panel), 0)) / max(1, min(len(self.panels), 3))
        top = EDGE + 34 + len(self.outer) * 46
        router_y = top + 30 + (LANE * len(self.edges["gateway"]) if self.outer else 0)
        bus = router_y + (64 if routers else 0) + 18
        columns, width = self.columns(bus + LANE * len(links) + 24, min(gutter, 220))
        width = max(width + EDGE, EDGE * 2 + len(routers) * (ROUTER_WIDTH + 14), 760)
        height = max((panel.y + panel.height for panel in self.panels.values()), default=bus) + EDGE
        places = self.router_places(routers, width, router_y)
        self.draw_outside(width)
        self.draw_gateways(places)
        self.draw_links(links, places, columns, bus, router_y)
        for router in routers:
            self.draw_router(router, *places[router["id"]])
        for panel in self.panels.values():
            self.draw_panel(panel)
        if not self.by_type["network"]:
            self.text(EDGE, EDGE + 60, "There is no network yet.", "title")
        head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'
        back = f'<rect width="{width:.0f}" height="{height:.0f}" fill="#f1f5f9"/>'
        return "\n".join([head, f"<style>{STYLE}</style>", back, *self.parts, "</svg>"])

    def router_places(self, routers: Sequence[Json], width: float, y: float) -> dict[str, tuple[float, float]]:
        step = (width - 2 * EDGE) / max(1, len(routers))
        return {router["id"]: (EDGE + step * at + (step - ROUTER_WIDTH) / 2, y) for at, router in enumerate(routers)}

    def links(self) -> list[tuple[str, Panel | None, list[str]]]:
        """(router, network's panel, addresses there), one for each pair."""
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for edge in self.edges["interface"]:
            found[edge["source"], self.network_of.get(edge["target"], "")].append(edge["ip_address"])
        return [
            (router, self.panels.get(network), held)
            for (router, network), held in found.items()
            if network in self.panels
        ]

    # Drawing ---------------------------------------------------------------------------------------------------------
    def text(self, x: float, y: float, words: str, kind: str, most: int = 0, anchor: str = "start") -> None:
        if most and len(words) > most:
            words = words[: most - 1] + "…"
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>')

    def box(self, x: float, y: float, width: float, height: float, kind: str, more: str = "", title: str = "") -> None:
        inner = f"<title>{escape(title)}</title>" if title else ""
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="8" class="{kind}" {more}>{inner}</rect>'
        )

    def line(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        path = " L ".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self.parts.append(f'<path d="M {path}" class="line" stroke="{colour}"/>')

    def dot(self, x: float, y: float, colour: str) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>')

    def draw_outside(self, width: float) -> None:
        for at, network in enumerate(self.outer):
            y, colour = EDGE + at * 46, self.colours[network["id"]]
            nets = ", ".join(
                subnet["cidr"] for subnet in self.by_type["subnet"] if subnet["network_id"] == network["id"]
            )
            self.box(EDGE, y, width - 2 * EDGE, 34, "outer", f'fill="{colour}"', network["id"])
            self.parts.append(
                f'<text x="{EDGE + 14}" y="{y + 22}" class="title" style="fill:#fff">{escape(network["name"] or network["id"])}'
                f'<tspan dx="12" style="font-size:12px;font-weight:400">{escape(nets)}</tspan></text>'
            )

    def draw_gateways(self, places: dict[str, tuple[float, float]]) -> None:
        count: dict[str, int] = defaultdict(int)
        rows = {network["id"]: at for at, network in enumerate(self.outer)}
        for edge in self.edges["gateway"]:
            if edge["source"] in places and edge["target"] in rows:
                x, y = places[edge["source"]]
                x += 30 + 60 * count[edge["source"]]
                count[edge["source"]] += 1
                begin = EDGE + rows[edge["target"]] * 46 + 34
                self.line([(x, begin), (x, y)], self.colours[edge["target"]])
                self.text(x + 7, y - 9, ", ".join(edge["ip_addresses"]), "tiny", 34)

    def draw_links(
        self, links: list[tuple[str, Panel | None, list[str]]], places: dict[str, tuple[float, float]],
        columns: list[list[Panel]], bus: float, router_y: float,
    ) -> None:  # fmt: skip
        column_of = {panel.network["id"]: at for at, panels in enumerate(columns) for panel in panels}
        used: dict[int, int] = defaultdict(int)
        entries: dict[str, int] = defaultdict(int)
        out: dict[str, int] = defaultdict(int)
        total = {router: sum(1 for one, _, _ in links if one == router) for router, _, _ in links}
        for number, (router, panel, _) in enumerate(links):
            if panel is None or router not in places:
                continue
            x, _ = places[router]
            out[router] += 1
            x += ROUTER_WIDTH * out[router] / (total[router] + 1)
            lane = bus + LANE * number
            column = column_of[panel.network["id"]]
            gutter = panel.x - 18 - LANE * (used[column] % 20)
            used[column] += 1
            y = panel.y + 16 + 13 * (entries[panel.network["id"]] % 3)
            entries[panel.network["id"]] += 1
            self.line([(x, router_y + 56), (x, lane), (gutter, lane), (gutter, y), (panel.x, y)], panel.colour)
            self.dot(panel.x, y, panel.colour)

    def draw_router(self, router: Json, x: float, y: float) -> None:
        dead = "" if router["admin_state_up"] else 'style="fill:#fee2e2;stroke:#dc2626"'
        self.box(x, y, ROUTER_WIDTH, 56, "router", dead, router["id"])
        self.parts.append(
            f'<g transform="translate({x + 14},{y + 14})" stroke="#6366f1" stroke-width="2" fill="none">'
            '<circle cx="14" cy="14" r="12"/><path d="M6 14 H22 M18 10 L22 14 L18 18 M14 6 V22"/></g>'
        )
        self.text(x + 50, y + 24, router["name"] or router["id"], "name", 24)
        told = ["router"]
        if not router["admin_state_up"]:
            told.append("off")
        elif any(edge["source"] == router["id"] for edge in self.edges["gateway"]):
            told.append("translates" if router["enable_snat"] else "does not translate")
        if count := len(router["routes"]):
            told.append(f"{count} route{'s' if count > 1 else ''}")
        self.text(x + 50, y + 42, ", ".join(told), "small", 36)

    def draw_panel(self, panel: Panel) -> None:
        network = panel.network
        self.box(panel.x, panel.y, panel.width, panel.height, "panel", f'stroke="{panel.colour}"', network["id"])
        self.box(panel.x, panel.y, 6, panel.height, "stripe", f'fill="{panel.colour}"')
        off = "" if network["admin_state_up"] else " (off)"
        shared = " (shared)" if network["shared"] else ""
        self.text(panel.x + PAD + 4, panel.y + 20, f"{network['name'] or network['id']}{shared}{off}", "title", 44)
        nets = "   ".join(subnet["cidr"] for subnet in panel.subnets) or "no subnet"
        self.text(panel.x + PAD + 4, panel.y + 36, nets, "small", 70)
        count = len(panel.cards)
        self.text(
            panel.x + panel.width - PAD, panel.y + 20, f"{count} port{'s' if count != 1 else ''}", "small", anchor="end"
        )
        for at, card in enumerate(panel.cards):
            row, column = divmod(at, panel.per_row)
            self.draw_card(
                card,
                panel.x + PAD + column * (CARD_WIDTH + GAP),
                panel.y + HEAD + row * (CARD_HEIGHT + GAP),
                panel.colour,
            )

    def draw_card(self, card: Card, x: float, y: float, colour: str) -> None:
        self.box(x, y, CARD_WIDTH, CARD_HEIGHT, "card", title=f"{card.id}\n{' '.join(card.lines)}\n{card.groups}")
        self.dot(x + 14, y + 16, "#dc2626" if card.off else ("#16a34a" if card.up else "#94a3b8"))
        self.text(x + 26, y + 20, card.title, "name", 24)
        self.text(x + 12, y + 37, "  ".join(card.lines), "small", 30)
        if card.badges:
            more = f" +{len(card.badges) - 1}" if len(card.badges) > 1 else ""
            words = card.badges[0] + more
            width = 12 + 6.3 * len(words)
            self.box(x + CARD_WIDTH - width - 8, y + 44, width, 16, "badge", f'fill="{colour}" fill-opacity="0.14"')
            self.text(x + CARD_WIDTH - width - 2, y + 56, words, "tiny")
            self.text(x + 12, y + 55, card.groups, "tiny", max(8, int((CARD_WIDTH - width - 26) / 5.6)))
        else:
            self.text(x + 12, y + 55, card.groups, "tiny", 34)

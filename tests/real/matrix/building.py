"""Topologies made through the API, many in one call, and taken away again."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.real.matrix.built import Built, Json, tag
from tests.real.matrix.site import Site


def build(site: Site, every: list[Built]) -> None:
    """All of them at once: one call for all networks, one for all subnets..."""
    build_networks(site, every)
    build_groups(site, every)
    build_ports(site, every)
    build_routers(site, every)
    build_floating(site, every)
    site.plug([(built, guest) for built in every for guest in built.plan.guests if guest.plugged])


def build_networks(site: Site, every: list[Built]) -> None:
    nets = [(built, net) for built in every for net in built.plan.nets]
    made = site.bulk("network", [
        {"name": f"t{built.plan.seed}.{net.name}", "project_id": built.projects[0], "admin_state_up": net.admin_up,
         "shared": net.shared} for built, net in nets
    ])  # fmt: skip
    bodies, keys = [], []
    for (built, net), one in zip(nets, made, strict=True):
        built.nets[net.name] = one
        for version in net.versions:
            cidr = net.cidr if version == 4 else net.cidr6
            pool = {"start": net.address(150), "end": net.address(190)}
            if version == 6:
                pool = {"start": net.address(0x1000, 6), "end": net.address(0x1FFF, 6)}
            more: Json = {"allocation_pools": [pool]} | {
                "gateway_ip": net.address(net.told_by, version) if net.gateway else None
            }
            if version == 6 and net.routed:
                more["subnetpool_id"] = site.pool
            bodies.append(
                {
                    "network_id": one["id"],
                    "cidr": cidr,
                    "ip_version": version,
                    "project_id": built.projects[0],
                    **more,
                }
            )
            keys.append((built, net.name, version))
    for (built, name, version), one in zip(keys, site.bulk("subnet", bodies), strict=True):
        built.subnets[name, version] = one


def build_groups(site: Site, every: list[Built]) -> None:
    wanted = [
        (built, group, project)
        for built in every
        for project in sorted({guest.project for guest in built.plan.guests})
        for group in built.plan.groups
    ]
    made = site.bulk("security_group", [
        {"name": f"t{built.plan.seed}.{group.name}", "project_id": built.projects[project], "stateful": group.stateful}
        for built, group, project in wanted
    ])  # fmt: skip
    for (built, group, project), one in zip(wanted, made, strict=True):
        built.groups[f"{project}{group.name}"] = one
    stale, batches = [], []
    for built, group, project in wanted:
        one = built.groups[f"{project}{group.name}"]
        if not group.everything_out:
            stale += [rule["id"] for rule in one["security_group_rules"] if rule["direction"] == "egress"]
        bodies = []
        for rule in group.rules:
            body = {**rule, "security_group_id": one["id"], "project_id": built.projects[project]}
            if remote := body.pop("remote_group", None):
                body["remote_group_id"] = built.groups[f"{project}{remote}"]["id"]
            if addresses := body.pop("addresses", None):
                named = {"name": group.name, "project_id": built.projects[project], "addresses": addresses}
                made_group = site.call("POST", "address-groups", address_group=named)["address_group"]
                body["remote_address_group_id"] = made_group["id"]
            bodies.append(body)
        batches.append(bodies)  # a call takes the rules of one group only
    list(site.threads.map(lambda id: site.call("DELETE", f"security-group-rules/{id}"), stale))
    list(site.threads.map(lambda bodies: site.bulk("security_group_rule", bodies), batches))


def build_ports(site: Site, every: list[Built]) -> None:
    wanted = [
        (built, guest, name, name == guest.second)
        for built in every
        for guest in built.plan.guests
        for name in (guest.net, guest.second)
        if name
    ]
    bodies = []
    for built, guest, name, _ in wanted:
        net = built.plan.net(name)
        fixed = [
            {"subnet_id": built.subnets[name, v]["id"], "ip_address": net.address(guest.host, v)} for v in net.versions
        ]
        bodies.append({
            "network_id": built.nets[name]["id"], "name": built.unique(guest), "fixed_ips": fixed,
            "project_id": built.projects[guest.project], "admin_state_up": guest.admin_up, "port_security_enabled": guest.secure,
            "security_groups": [built.groups[f"{guest.project}{one}"]["id"] for one in guest.groups],
            "allowed_address_pairs": [{"ip_address": pair} for pair in guest.pairs],
            "device_id": built.device if guest.second else "",
            "binding:host_id": f"h{built.place(guest, len(site.lab.hosts))}",
        })  # fmt: skip
    for (built, guest, _, is_second), port in zip(wanted, site.bulk("port", bodies), strict=True):
        built.ports[guest.name + ("/2" if is_second else "")] = port
        built.names[port["id"]] = built.unique(guest)


def build_routers(site: Site, every: list[Built]) -> None:
    wanted = [(built, router) for built in every for router in built.plan.routers]
    bodies = []
    for built, router in wanted:
        gateway = {"network_id": site.public["id"], "enable_snat": router.snat}
        more = {"external_gateway_info": gateway} if router.outside else {}
        bodies.append(
            {
                "name": f"t{built.plan.seed}.{router.name}",
                "project_id": built.projects[0],
                "admin_state_up": router.admin_up,
                **more,
            }
        )
    for (built, router), made in zip(wanted, site.bulk("router", bodies), strict=True):
        built.routers[router.name] = made
    jobs = [(built, router, leg) for built, router in wanted for leg in router.legs]
    list(site.threads.map(lambda job: join(site, *job), jobs))
    for built, router in wanted:
        if router.routes:
            site.call("PUT", f"routers/{built.routers[router.name]['id']}", router={"routes": router.routes})


def join(site: Site, built: Built, router: Any, leg: Any) -> None:
    path = f"routers/{built.routers[router.name]['id']}/add_router_interface"
    net = built.plan.net(leg.net)
    if leg.host:
        fixed = [
            {"subnet_id": built.subnets[leg.net, v]["id"], "ip_address": net.address(leg.host, v)} for v in net.versions
        ]
        body = {"network_id": built.nets[leg.net]["id"], "fixed_ips": fixed, "project_id": built.projects[0]}
        [port] = site.bulk("port", [body])
        joined = [site.call("PUT", path, port_id=port["id"])]
    else:
        joined = [site.call("PUT", path, subnet_id=built.subnets[leg.net, version]["id"]) for version in net.versions]
    groups = [built.groups[f"0{name}"]["id"] for name in leg.groups]
    for id in {one["port_id"] for one in joined} if groups else ():
        site.call("PUT", f"ports/{id}", port={"security_groups": groups})


def build_floating(site: Site, every: list[Built]) -> None:
    wanted = [(built, name) for built in every for name in built.plan.floating]
    outside: Json = {"floating_network_id": site.public["id"]}
    made = site.bulk("floatingip", [
        {**outside, "project_id": built.projects[0], **(target(built, name) if name else {})} for built, name in wanted
    ])  # fmt: skip
    for (built, _), one in zip(wanted, made, strict=True):
        built.floating.append(one)
    wanted6 = [(built, name) for built in every for name in built.plan.floating6]
    made = site.bulk("floatingip", [
        {**outside, "project_id": built.projects[0], "subnet_id": site.public6, **target(built, name, 6)} for built, name in wanted6
    ])  # fmt: skip
    for (built, _), one in zip(wanted6, made, strict=True):
        built.floating6.append(one)
    for built in every:
        for led in built.plan.forwardings:
            body = {
                "protocol": led.protocol, "internal_port_id": built.ports[led.guest]["id"], "internal_port": led.inner,
                "internal_ip_address": address(built, led.guest), "external_port": led.outer,
            }  # fmt: skip
            site.call(
                "POST", f"floatingips/{built.floating[led.floating]['id']}/port_forwardings", port_forwarding=body
            )


def target(built: Built, name: str, version: int = 4) -> Json:
    return {"port_id": built.ports[name]["id"], "fixed_ip_address": address(built, name, version)}


def address(built: Built, name: str, version: int = 4) -> str:
    guest = built.plan.guest(name)
    return built.plan.net(guest.net).address(guest.host, version)


# Ending -------------------------------------------------------------------------------------------------------------
def remove(site: Site, every: list[Built]) -> None:
    tags: dict[int, list[str]] = {place: [] for place in site.farms}
    cards: dict[int, list[str]] = {place: [] for place in site.farms}
    for built in every:
        for guest in built.plan.guests:
            if guest.name in built.plugged:
                place = built.place(guest, len(site.lab.hosts))
                held = [tag(port["id"]) for _, port in built.cards(guest)]
                tags[place].append(held[0])
                cards[place] += held
    list(site.farmers.map(lambda at: site.farms[at].order(do="detach", tags=tags[at], cards=cards[at]), tags))
    site.set_door([])
    list(site.threads.map(partial(remove_one, site), every))


def remove_one(site: Site, built: Built) -> None:
    for one in built.floating if built.plan.forwardings else ():
        path = f"floatingips/{one['id']}/port_forwardings"
        for led in site.call("GET", path)["port_forwardings"]:
            site.call("DELETE", f"{path}/{led['id']}")
    for one in [*built.floating, *built.floating6]:
        site.call("DELETE", f"floatingips/{one['id']}")
    remove_routers(site, built)
    mine = f"project_id={built.projects[0]}&project_id={built.projects[1]}"
    for port in site.call("GET", f"ports?{mine}&fields=id&fields=device_owner")["ports"]:
        if not port["device_owner"].startswith("network:"):
            site.call("DELETE", f"ports/{port['id']}")
    for net in built.nets.values():
        site.call("DELETE", f"networks/{net['id']}")
    for kind in ("security-groups", "address-groups"):
        for one in site.call("GET", f"{kind}?{mine}&fields=id")[kind.replace("-", "_")]:
            site.call("DELETE", f"{kind}/{one['id']}")


def remove_routers(site: Site, built: Built) -> None:
    for router in built.routers.values():
        site.call("PUT", f"routers/{router['id']}", router={"routes": []})
        shown = site.call("GET", f"ports?device_id={router['id']}&device_owner=network:router_interface")["ports"]
        for port in shown:
            site.call("PUT", f"routers/{router['id']}/remove_router_interface", port_id=port["id"])
        site.call("DELETE", f"routers/{router['id']}")

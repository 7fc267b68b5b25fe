"""Changing just what a verdict names, through the API: every *no* has to become another answer by that."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

from tests.real.matrix import building
from tests.real.matrix.arena import Arena
from tests.real.matrix.built import Built, Case, Json
from tests.real.matrix.topologies import Guest

NUMBERS = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp"}


class Mender:
    """``mend(case)`` changes what the case's answer names; False where nothing of it can be changed."""

    def __init__(self, arena: Arena) -> None:
        self.arena, self.call = arena, arena.call
        self.exceptions: list[str] = []  # from the doorman's rules, to be withdrawn
        self.done: set[tuple[Any, ...]] = set()  # what has been changed already in this round
        self.refused: set[tuple[Any, ...]] = set()  # by the API

    def mend(self, case: Case) -> bool:
        decided = case.answer["decided_by"]
        by: dict[str, Callable[[Built, Json, Json, Case], bool]] = {
            "security_group": self.allow, "port_security": self.pair_of_sender, "address_pair": self.pair_of_receiver,
            "admin_state_down": self.switch_on, "port_down": self.plug, "gateway": self.tell_gateway, "no_path": self.make_way,
            "route": self.add_route, "nat": self.translate, "floating_ip": self.associate, "doorman_rule": self.exempt,
        }  # fmt: skip
        does = by.get(decided["kind"])
        return bool(does and does(case.built, decided, case.answer["stopped"] or case.answer["packet"], case))

    def once(self, *what: Any) -> bool:
        """Whether this is to be done now; several cases may name the same thing."""
        if what in self.done:
            return False
        self.done.add(what)
        return True

    # Ports -------------------------------------------------------------------------------------------------------------
    def allow(self, built: Built, decided: Json, packet: Json, case: Case) -> bool:
        """A rule for this packet in the group that is named, or a group where there is none."""
        version, direction = 6 if ":" in packet["source"] else 4, decided["direction"]
        far = packet["source"] if direction == "ingress" else packet["destination"]
        rule: Json = {"direction": direction, "ethertype": f"IPv{version}", "protocol": NUMBERS[packet["protocol"]]}
        rule["remote_ip_prefix"] = f"{far}/{32 if version == 4 else 128}"
        if "icmp_type" in packet:
            rule["port_range_min"] = packet["icmp_type"]
        elif case.answer["way"] == "there":  # the asker's own port is nobody's before it asks
            rule |= {"port_range_min": packet["port"], "port_range_max": packet["port"]}
        id = decided["id"]
        if decided["type"] == "port":
            port = self.call("GET", f"ports/{id}")["port"]
            body = {"name": f"t{built.plan.seed}.new", "project_id": port["project_id"]}
            if not self.once("group", id):
                return True
            id = self.call("POST", "security-groups", security_group=body)["security_group"]["id"]
            self.call("PUT", f"ports/{port['id']}", port={"security_groups": [id]})
        if self.once("rule", id, repr(sorted(rule.items()))) and not (
            decided["type"] == "port" and direction == "egress"
        ):
            self.call("POST", "security-group-rules", security_group_rule={"security_group_id": id, **rule})
        return True

    def pair(self, port_id: str, address: str) -> bool:
        if self.once("pair", port_id, address):
            port = self.call("GET", f"ports/{port_id}")["port"]
            pairs = [*port["allowed_address_pairs"], {"ip_address": address}]
            self.call("PUT", f"ports/{port_id}", port={"allowed_address_pairs": pairs})
        return True

    def pair_of_sender(self, built: Built, decided: Json, packet: Json, case: Case) -> bool:
        return self.pair(decided["id"], packet["source"])

    def pair_of_receiver(self, built: Built, decided: Json, packet: Json, case: Case) -> bool:
        return self.pair(decided["id"], packet["destination"])

    def switch_on(self, built: Built, decided: Json, packet: Json, case: Case) -> bool:
        kind = decided["type"]
        if self.once("up", decided["id"]):
            body: Json = {kind: {"admin_state_up": True}}
            self.call("PUT", f"{kind}s/{decided['id']}", **body)
        return True

    def plug(self, built: Built, decided: Json, packet: Json, case: Case) -> bool:
        guest = next((one for one in built.plan.guests if built.ports[one.name]["id"] == decided["id"]), None)
        if guest and self.once("plug", decided["id"]):
            self.arena.plug([(built, guest)])
        return guest is not None

    # Networks and routers ----------------------------------------------------------------------------------------------
    def net_at(self, built: Built, address: str) -> tuple[str, int] | None:
        """(network, version) of the topology's subnet that an address is on."""
        ip = ip_address(address)
        for key, subnet in built.subnets.items():
            if ip in ip_network(subnet["cidr"]):
                return key
        return None

    def legs(self, built: Built, name: str) -> list[Json]:
        id = built.routers[name]["id"]
        shown = self.call("GET", f"ports?device_id={id}&device_owner=network:router_interface")["ports"]
        return list(shown)

    def tell_gateway(self, built: Built, decided: Json, packet: Json, case: Case) -> bool:
        """The router's address there becomes the gateway that servers are told of."""
        for (net, version), subnet in built.subnets.items():
            if subnet["id"] == decided["id"]:
                held = {f["ip_address"] for name in built.routers for leg in self.legs(built, name) for f in leg["fixed_ips"]
                        if f["subnet_id"] == subnet["id"]}  # fmt: skip
                address = min(held, default="") or built.plan.net(net).address(4, version)
                if self.once("gateway", decided["id"]):
                    # A gateway must not stand in a pool, and a router that came by an own port has its address from one
                    pools = [rest for pool in subnet["allocation_pools"] for rest in without(pool, address)]
                    body = {"gateway_ip": address, "allocation_pools": pools}
                    shown = self.call("PUT", f"subnets/{subnet['id']}", subnet=body)["subnet"]
                    built.subnets[net, version] = shown
                    for guest in built.plan.guests:
                        if guest.net == net and guest.name in built.plugged:
                            self.arena.reroute(built, guest)
                return True
        return False

    def make_way(self, built: Built, decided: Json, packet: Json, case: Case) -> bool:
        key = self.net_at(built, packet["destination"])
        version = 6 if ":" in packet["destination"] else 4
        here = next((name for name, one in built.nets.items() if one["id"] == decided["id"]), "")
        if here and key == (here, version):  # nobody has the address: somebody gets it
            return self.new_guest(built, here, packet["destination"])
        if here:  # nobody has the gateway's address: a router gets it
            router = next(iter(built.routers.values()), None) or self.new_router(built)
            return self.join(built, router["id"], (here, version))
        if key is None:
            return False
        net, version = key
        if decided["type"] == "internet":  # its own router sends the packet out, because it does not know the network
            led = [
                hop["at"]["id"]
                for hop in case.answer["hops"] + case.answer["hops_back"]
                if hop["at"]["type"] == "router"
            ]
            return bool(led) and self.join(built, led[-1], (net, version))
        return False

    def new_router(self, built: Built) -> Json:
        body = {"name": f"t{built.plan.seed}.new", "project_id": built.projects[0]}
        built.routers["new"] = self.call("POST", "routers", router=body)["router"]
        return built.routers["new"]

    def join(self, built: Built, router_id: str, key: tuple[str, int]) -> bool:
        """Give a network to a router: by its gateway address if that is free, else by another one."""
        subnet = built.subnets.get(key)
        if subnet is None:
            return False
        if not self.once("join", router_id, subnet["id"]):
            return True
        path = f"routers/{router_id}/add_router_interface"
        taken = self.call(
            "GET", f"ports?fixed_ips=ip_address={subnet['gateway_ip']}&network_id={subnet['network_id']}"
        )["ports"]
        if subnet["gateway_ip"] and not taken:
            self.call("PUT", path, subnet_id=subnet["id"])
        else:
            body = {
                "network_id": subnet["network_id"],
                "fixed_ips": [{"subnet_id": subnet["id"]}],
                "project_id": built.projects[0],
            }
            port = self.call("POST", "ports", port=body)["port"]
            self.call("PUT", path, port_id=port["id"])
        return True

    def new_guest(self, built: Built, net: str, address: str) -> bool:
        if not self.once("guest", built.plan.seed, address):
            return True
        plan = built.plan.net(net)
        host = int(ip_address(address)) & 0xFF
        guest = Guest(f"new{host}", net, host, secure=False)
        versions = plan.versions
        fixed = [{"subnet_id": built.subnets[net, v]["id"], "ip_address": plan.address(host, v)} for v in versions]
        body = {"network_id": built.nets[net]["id"], "fixed_ips": fixed, "port_security_enabled": False, "security_groups": [],
                "project_id": built.projects[0], "name": built.unique(guest)}  # fmt: skip
        built.ports[guest.name] = self.call("POST", "ports", port=body)["port"]
        built.names[built.ports[guest.name]["id"]] = built.unique(guest)
        built.plan.guests.append(guest)
        self.arena.plug([(built, guest)])
        return True

    def add_route(self, built: Built, decided: Json, packet: Json, case: Case) -> bool:
        name = next((name for name, one in built.routers.items() if one["id"] == decided["id"]), "")
        if not name:
            return False
        key = self.net_at(built, packet["destination"])
        router = self.call("GET", f"routers/{decided['id']}")["router"]
        if key is None:  # out of the cloud
            if ("outside", decided["id"]) in self.done:
                return True
            if router["external_gateway_info"]:
                return False
            middle = {
                f["ip_address"]
                for leg in self.legs(built, name)
                for f in leg["fixed_ips"]
                if f["ip_address"].startswith("10.0.9.")
            }
            if name == "r1" and middle and "." in packet["destination"]:
                return self.route(decided["id"], "0.0.0.0/0", "10.0.9.6")
            if self.once("outside", decided["id"]):
                # two default routes would share the traffic: which one a packet takes, nobody can say beforehand
                routes = [one for one in router["routes"] if one["destination"] != "0.0.0.0/0"]
                info = {"network_id": self.arena.public["id"]}
                body: Json = {"external_gateway_info": info, "routes": routes}
                self.call("PUT", f"routers/{decided['id']}", router=body)
            return True
        if "middle" in built.nets and key[1] == 4 and key[0] != "middle":
            return self.route(decided["id"], built.subnets[key]["cidr"], f"10.0.9.{7 - int(name[1])}")
        return self.join(built, decided["id"], key)

    def route(self, router_id: str, destination: str, nexthop: str) -> bool:
        if self.once("route", router_id, destination):
            routes = [{"destination": destination, "nexthop": nexthop}]
            self.call("PUT", f"routers/{router_id}/add_extraroutes", router={"routes": routes})
        return True

    # The world outside -------------------------------------------------------------------------------------------------
    def translate(self, built: Built, decided: Json, packet: Json, case: Case) -> bool:
        router = self.call("GET", f"routers/{decided['id']}")["router"] if decided["type"] == "router" else {}
        info = router.get("external_gateway_info")
        if ("nat", decided["id"]) in self.done and "." in packet["destination"]:
            return True
        if not info or info["enable_snat"] or ":" in packet["destination"]:
            return False
        if self.once("nat", decided["id"]):
            info = {"network_id": info["network_id"], "enable_snat": True}
            self.call("PUT", f"routers/{decided['id']}", router={"external_gateway_info": info})
        return True

    def associate(self, built: Built, decided: Json, packet: Json, case: Case) -> bool:
        if decided["type"] != "floatingip":
            return False
        for one in built.plan.forwardings:
            if built.floating[one.floating]["id"] == decided["id"]:
                return one.guest != case.probe.source and self.forward(built, decided["id"], one.guest, packet)
        if ("floating", decided["id"]) in self.done:
            return True
        held = {
            one["port_id"] for one in self.call("GET", f"floatingips?project_id={built.projects[0]}")["floatingips"]
        }
        outer = [router for router in built.plan.routers if router.outside]
        for guest in built.plan.guests:
            port = built.ports[guest.name]["id"]
            led = any(leg.net == guest.net for router in outer for leg in router.legs)
            forwarded = any(one.guest == guest.name for one in built.plan.forwardings)
            itself = guest.name == case.probe.source or forwarded or guest.second
            if led and guest.project == 0 and port not in held and not itself:
                if self.once("floating", decided["id"]):
                    address = building.address(built, guest.name)
                    self.call(
                        "PUT", f"floatingips/{decided['id']}", floatingip={"port_id": port, "fixed_ip_address": address}
                    )
                return True
        return False

    def forward(self, built: Built, id: str, guest: str, packet: Json) -> bool:
        """One more port is led on, unless the guest's port is led to already or the guest stands behind another router."""
        if "port" not in packet:
            return False
        what = ("forward", id, packet["protocol"], packet["port"])
        if self.once(*what):
            body = {"protocol": NUMBERS[packet["protocol"]], "external_port": packet["port"], "internal_port": packet["port"],
                    "internal_port_id": built.ports[guest]["id"], "internal_ip_address": building.address(built, guest)}  # fmt: skip
            path = f"/network/v2.0/floatingips/{id}/port_forwardings"
            if not self.arena.api.post(path, json={"port_forwarding": body}).is_success:
                self.refused.add(what)
        return what not in self.refused

    def exempt(self, built: Built, decided: Json, packet: Json, case: Case) -> bool:
        local = packet["destination"] if decided["direction"] == "ingress" else packet["source"]
        if self.once("exempt", decided["id"], local):
            until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
            body = {
                "rule_id": decided["id"],
                "reason": "packet matrix",
                "expires_at": until,
                "local_ip_prefix": f"{local}/{32 if '.' in local else 128}",
            }
            made = self.call("POST", "doorman/exceptions", base="/wolke/v1", doorman_exception=body)[
                "doorman_exception"
            ]
            self.exceptions.append(made["id"])
        return True

    def withdraw(self) -> None:
        for id in self.exceptions:
            self.call("DELETE", f"doorman/exceptions/{id}", base="/wolke/v1")
        self.exceptions.clear()


def without(pool: Json, address: str) -> list[Json]:
    """What is left of an allocation pool without one address: one pool or two, or none.

    >>> without({"start": "10.0.0.2", "end": "10.0.0.9"}, "10.0.0.2")
    [{'start': '10.0.0.3', 'end': '10.0.0.9'}]
    """
    first, last, gone = (ip_address(text) for text in (pool["start"], pool["end"], address))
    if not int(first) <= int(gone) <= int(last):
        return [pool]
    parts = ((first, gone - 1), (gone + 1, last))
    return [{"start": str(start), "end": str(end)} for start, end in parts if int(start) <= int(end)]

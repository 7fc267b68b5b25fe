"""Frames by hand, for guests that mean harm: runs inside a namespace guest, sends raw frames and counts what arrives.

``python3 attacker.py send COUNT PER_SECOND HEX...`` sends the frames in turn; PER_SECOND 0: as fast as it goes. Prints how many went.
``python3 attacker.py hear SECONDS HEX`` prints how many frames held these bytes.
``frames(...)`` below build them; imported by the tests.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from ipaddress import ip_address

IFACE, ETH_P_ALL = "eth0", 3


# What is sent -------------------------------------------------------------------------------------------------------
def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ethernet(to: str, sender: str, kind: int, payload: bytes) -> bytes:
    return mac(to) + mac(sender) + struct.pack("!H", kind) + payload


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(
    source: str, target: str, protocol: int, payload: bytes, *, id: int = 1, offset: int = 0, more: bool = False
) -> bytes:
    """``offset`` in bytes, a multiple of 8."""
    flags = (0x2000 if more else 0) | offset // 8
    parts = (
        0x45,
        0,
        20 + len(payload),
        id,
        flags,
        64,
        protocol,
        0,
        ip_address(source).packed,
        ip_address(target).packed,
    )
    head = struct.pack("!BBHHHBBH4s4s", *parts)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    return (
        struct.pack("!IHBB", 6 << 28, len(payload), protocol, 255)
        + ip_address(source).packed
        + ip_address(target).packed
        + payload
    )


def udp(source: int, target: int, payload: bytes, ends: tuple[str, str] | None = None) -> bytes:
    """``ends``: the addresses, which IPv6 wants in the checksum."""
    head = struct.pack("!HHHH", source, target, 8 + len(payload), 0)
    if ends is None:
        return head + payload
    pseudo = ip_address(ends[0]).packed + ip_address(ends[1]).packed + struct.pack("!II", 8 + len(payload), 17)
    return head[:6] + struct.pack("!H", checksum(pseudo + head + payload) or 0xFFFF) + payload


def icmp6(source: str, target: str, kind: int, rest: bytes) -> bytes:
    body = struct.pack("!BBH", kind, 0, 0) + rest
    pseudo = ip_address(source).packed + ip_address(target).packed + struct.pack("!II", len(body), 58)
    return ipv6(source, target, 58, body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:])


def echo(ident: int, payload: bytes) -> bytes:
    body = struct.pack("!BBHHH", 8, 0, 0, ident, 1) + payload
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


def arp(operation: int, sender: str, sender_ip: str, target: str, target_ip: str) -> bytes:
    ends = mac(sender), ip_address(sender_ip).packed, mac(target), ip_address(target_ip).packed
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + b"".join(ends)


# What runs in the guest ---------------------------------------------------------------------------------------------
def send(count: int, per_second: int, frames: list[bytes]) -> int:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((IFACE, 0))
        begin, sent = time.monotonic(), 0
        for number in range(count):
            if per_second and (pause := begin + number / per_second - time.monotonic()) > 0:
                time.sleep(pause)
            try:
                out.send(frames[number % len(frames)])
                sent += 1
            except OSError:  # the device's queue is full: the guest cannot send more
                time.sleep(0.001)
    return sent


def hear(seconds: float, mark: bytes) -> int:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as ear:
        ear.bind((IFACE, 0))
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        end, heard = time.monotonic() + seconds, 0
        print("listening", flush=True)
        while (left := end - time.monotonic()) > 0:
            ear.settimeout(left)
            try:
                frame, (_, _, kind, *_) = ear.recvfrom(65536)
            except TimeoutError:
                break
            heard += kind != socket.PACKET_OUTGOING and mark in frame
    return heard


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", count, rate, *frames]:
            print(send(int(count), int(rate), [bytes.fromhex(one) for one in frames]))
        case ["hear", seconds, given]:
            print(hear(float(seconds), bytes.fromhex(given)))

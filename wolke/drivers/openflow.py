"""What we say to a bridge in OpenFlow ourselves: how many flows bear a cookie, and the meters, many in one conversation.

Source: OpenFlow 1.3.5, sections 7.3.4 (meters) and 7.3.5 (multipart messages).
"""

from __future__ import annotations

import itertools
import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

VERSION = 4  # OpenFlow 1.3
HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, MULTIPART_REQUEST, MULTIPART_REPLY = 0, 1, 2, 3, 18, 19
BARRIER_REQUEST, BARRIER_REPLY, METER_MOD = 20, 21, 29
AGGREGATE, METER_CONFIG = 2, 10  # of multipart messages
MORE = 1
ADD, MODIFY, DELETE = 0, 1, 2
KBPS, PKTPS, BURST, STATS = 1, 2, 4, 8
DROP = 1  # the kind of band
ALL_TABLES, ANY, ALL_METERS = 0xFF, 0xFFFFFFFF, 0xFFFFFFFF
EVERYTHING = struct.pack("!HH4x", 1, 4)  # a match without fields


class Meter(NamedTuple):
    """Drops what is more than ``rate`` packets a second, after ``burst`` packets; 0: as many as in one second."""

    rate: int
    burst: int


class Conversation:
    """With a bridge, by its management socket. Every call raises OSError where the bridge does not answer, or refuses."""

    def __init__(self, path: Path, patience: float) -> None:
        self.asking = socket.socket(socket.AF_UNIX)
        self.numbers = itertools.count(1)
        self.asking.settimeout(patience)
        try:
            self.asking.connect(str(path))
            self.send(HELLO)
        except OSError:
            self.asking.close()
            raise

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.asking.close()

    def count(self, cookie: int, mask: int) -> int:
        """How many flows bear a cookie, where the mask has ones."""
        body = struct.pack("!B3xII4xQQ", ALL_TABLES, ANY, ANY, cookie, mask) + EVERYTHING
        return int(struct.unpack_from("!QQI", self.stats(AGGREGATE, body))[2])

    def meters(self) -> dict[int, Meter]:
        """The meters of packets that are there; of what else they may count, and of more bands than one, none is equal to any."""
        told, found = self.stats(METER_CONFIG, struct.pack("!I4x", ALL_METERS)), {}
        while told:
            length, flags, id = struct.unpack_from("!HHI", told)
            rate, burst = struct.unpack_from("!4xII", told, 8) if length == 24 and flags & PKTPS else (-1, -1)
            found[id] = Meter(rate, burst if flags & BURST else 0)
            told = told[length:]
        return found

    def set_meter(self, id: int, meter: Meter, *, new: bool) -> None:
        flags = PKTPS | STATS | (BURST if meter.burst else 0)
        band = struct.pack("!HHII4x", DROP, 16, meter.rate, meter.burst)
        self.send(METER_MOD, struct.pack("!HHI", ADD if new else MODIFY, flags, id) + band)

    def delete_meter(self, id: int) -> None:
        """And the flows that use it."""
        self.send(METER_MOD, struct.pack("!HHI", DELETE, 0, id))

    def barrier(self) -> None:
        """Returns when everything that was sent is done. Raises OSError: something was refused."""
        self.answer(self.send(BARRIER_REQUEST), BARRIER_REPLY)

    def stats(self, kind: int, body: bytes) -> bytes:
        number = self.send(MULTIPART_REQUEST, struct.pack("!HH4x", kind, 0) + body)
        found = b""
        while True:
            part = self.answer(number, MULTIPART_REPLY)
            found += part[8:]
            if not struct.unpack_from("!2xH", part)[0] & MORE:
                return found

    def send(self, kind: int, body: bytes = b"") -> int:
        number = next(self.numbers)
        self.asking.sendall(struct.pack("!BBHI", VERSION, kind, 8 + len(body), number) + body)
        return number

    def answer(self, number: int, wanted: int) -> bytes:
        while True:
            _, kind, length, asked = struct.unpack("!BBHI", received(self.asking, 8))
            body = received(self.asking, length - 8)
            if kind == ERROR:
                raise OSError("the bridge refuses: error {} {}".format(*struct.unpack_from("!HH", body)))
            if kind == ECHO_REQUEST:
                self.asking.sendall(struct.pack("!BBHI", VERSION, ECHO_REPLY, length, asked) + body)
            elif (kind, asked) == (wanted, number):
                return body


def received(asking: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = asking.recv(size - len(found))
        if not part:
            raise OSError("the bridge has closed the connection")
        found += part
    return found

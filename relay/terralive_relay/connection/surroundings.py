"""What this machine goes through: it slept, or its network changed. Asked about once a second; no threads.

A laptop that wakes up has connections that look alive and are dead, and nothing tells: the
monotonic clock stood still (Linux and macOS both stop it in sleep), or this process was stopped
while the clock went on. Either shows as a gap between two looks. A changed network shows in the
address from which the system would reach the gateway now.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

GAP_SECONDS: Final = (
    5.0  # between two looks, which are one second apart; less may be a busy machine
)
_DISCARD_PORT: Final = 9  # connecting a UDP socket sends nothing: any port serves


@dataclass(slots=True)
class Clocks:
    """Tells of gaps, from the times that each look brings."""

    monotonic: float
    wall: float

    def gap(self, monotonic: float, wall: float) -> bool:
        """Whether this process stood still since the last look.

        A wall clock that was set looks the same; no harm.
        """
        passed = max(monotonic - self.monotonic, wall - self.wall)
        self.monotonic, self.wall = monotonic, wall
        return passed > GAP_SECONDS


class Change(Enum):
    """What has become of the network since the last look."""

    NONE = auto()
    MOVED = auto()  # another address: the old connections are dead
    BACK = auto()  # there was no way to the gateway, and there is one again


@dataclass(slots=True)
class Network:
    """Tells of changes, from the address that each look brings.

    Args:
        peer: the gateway's IP address.
    """

    peer: str = ""
    address: str = ""  # this machine's on the way there; "" where none has been seen
    away: bool = False

    def look(self, address: str) -> Change:
        """Take the address from which the gateway would be reached now, "" for none.

        Looks are compared with looks, not with a connection's own address: a policy may route TCP
        another way.
        """
        if not address:
            self.away = True
            return Change.NONE
        moved = bool(self.address) and address != self.address
        change = Change.MOVED if moved else Change.BACK if self.away else Change.NONE
        self.address, self.away = address, False
        return change


def address_towards(peer: str) -> str:
    """Give this machine's address on the way to `peer` (an IP address), "" where there is no way. Sends nothing."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((peer, _DISCARD_PORT))
            return str(probe.getsockname()[0])
    except OSError:
        return ""

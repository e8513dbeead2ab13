"""Notices that this machine slept, or that its network changed. Looks once a second; no threads.

A laptop that wakes up has connections that look alive and are dead, and no event says so: the
monotonic clock stood still (Linux and macOS both stop it during sleep), or this process was stopped
while the clock went on. Either shows as a gap between two looks. A changed network shows in the
address from which the system would reach the gateway now.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

# Looks are one second apart. A gap of less than this may be a busy machine.
GAP_SECONDS: Final = 5.0
# Connecting a UDP socket sends nothing, so any port serves.
_DISCARD_PORT: Final = 9


@dataclass(slots=True)
class Clocks:
    """Notices gaps between looks.

    Attributes:
        monotonic: the monotonic clock at the last look, in seconds.
        wall: the wall clock at the last look, in seconds since the Unix epoch.
    """

    monotonic: float
    wall: float

    def gap(self, monotonic: float, wall: float) -> bool:
        """Return whether this process stood still since the last look.

        A wall clock that was set looks the same; a check of the connection does no harm.
        """
        passed = max(monotonic - self.monotonic, wall - self.wall)
        self.monotonic = monotonic
        self.wall = wall
        return passed > GAP_SECONDS


class Change(Enum):
    """The change of the network since the last look."""

    NONE = auto()
    MOVED = auto()  # another address: the old connections are dead
    BACK = auto()  # there was no way to the gateway, and there is one again


@dataclass(slots=True)
class Network:
    """Notices changes of this machine's address.

    Attributes:
        peer: the gateway's IP address.
        address: this machine's address on the way there; "" until one was seen.
        away: there was no way to the gateway at the last look.
    """

    peer: str = ""
    address: str = ""
    away: bool = False

    def look(self, address: str) -> Change:
        """Compare this machine's present address with that of the last look.

        Looks are compared with looks, and not with a connection's own address: a policy may route
        TCP another way.

        Args:
            address: the address from which the gateway would be reached now; "" for none.
        """
        if not address:
            self.away = True
            return Change.NONE
        change = Change.NONE
        if self.address and address != self.address:
            change = Change.MOVED
        elif self.away:
            change = Change.BACK
        self.address = address
        self.away = False
        return change


class Observation(Enum):
    """The result of a look at this machine."""

    NOTHING = auto()
    CHECK_CONNECTION = auto()  # it slept, or the network is back: the connection may be dead
    ADDRESS_CHANGED = auto()  # the connections are dead


class Surroundings:
    """Notices that this machine slept, and that its network changed.

    Args:
        monotonic: the monotonic clock now, in seconds.
        wall: the wall clock now, in seconds since the Unix epoch.
    """

    def __init__(self, monotonic: float, wall: float) -> None:
        self._clocks = Clocks(monotonic, wall)
        self._network = Network()

    def observe(self, monotonic: float, wall: float, peer: str) -> Observation:
        """Look at the clocks and at the way to the gateway.

        Args:
            monotonic: the monotonic clock.
            wall: the wall clock.
            peer: the IP address of the open connection's peer, or "".
        """
        slept = self._clocks.gap(monotonic, wall)
        if peer and peer != self._network.peer:
            self._network = Network(peer)
        change = Change.NONE
        if self._network.peer:
            change = self._network.look(address_towards(self._network.peer))
        if change is Change.MOVED:
            return Observation.ADDRESS_CHANGED
        if slept or change is Change.BACK:
            return Observation.CHECK_CONNECTION
        return Observation.NOTHING


def address_towards(peer: str) -> str:
    """Return this machine's address on the way to an IP address; "" where there is no way.

    It sends nothing.
    """
    family = socket.AF_INET
    if ":" in peer:
        family = socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((peer, _DISCARD_PORT))
            return str(probe.getsockname()[0])
    except OSError:
        return ""

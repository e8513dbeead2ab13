"""Notices that this machine slept, or that its network changed. Looks once a second; no threads.

A laptop that wakes up has connections that look alive and are dead, and no event says so: the
monotonic clock stood still (Linux and macOS both stop it during sleep), or this process was stopped
while the clock went on. Either shows as a gap between two looks. A changed network shows in the
address from which the system would reach the gateway now.
"""

from __future__ import annotations

import socket
from enum import Enum, auto
from typing import Final

# Looks are one second apart. A gap of less than this may be a busy machine.
GAP_SECONDS: Final = 5.0
# Connecting a UDP socket sends nothing, so any port serves.
_DISCARD_PORT: Final = 9


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
        # Both clocks at the last look.
        self._monotonic = monotonic
        self._wall = wall
        # The gateway's IP address.
        self._peer = ""
        # This machine's address on the way there; "" until one was seen.
        self._address = ""
        # There was no way to the gateway at the last look.
        self._away = False

    def observe(self, monotonic: float, wall: float, peer: str) -> Observation:
        """Look at the clocks and at the way to the gateway.

        A wall clock that was set looks like a sleep; a check of the connection does no harm.

        Args:
            monotonic: the monotonic clock.
            wall: the wall clock.
            peer: the IP address of the open connection's peer, or "".
        """
        slept = max(monotonic - self._monotonic, wall - self._wall) > GAP_SECONDS
        self._monotonic = monotonic
        self._wall = wall
        if peer and peer != self._peer:
            self._peer, self._address, self._away = peer, "", False
        observation = Observation.NOTHING
        if self._peer:
            observation = self._look_at_network(address_towards(self._peer))
        if slept and observation is Observation.NOTHING:
            return Observation.CHECK_CONNECTION
        return observation

    def _look_at_network(self, address: str) -> Observation:
        """Compare this machine's address on the way to the gateway ("" for none) with the last one.

        Looks are compared with looks, and not with a connection's own address: a policy may route
        TCP another way.
        """
        if not address:
            self._away = True
            return Observation.NOTHING
        observation = Observation.NOTHING
        if self._address and address != self._address:
            observation = Observation.ADDRESS_CHANGED
        elif self._away:
            observation = Observation.CHECK_CONNECTION
        self._address = address
        self._away = False
        return observation


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

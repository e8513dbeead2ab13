"""Tells which user and which socket of this machine are at the other end of a loopback connection.

Every user of a machine may connect to a port on 127.0.0.1. Linux tells who owns the socket at the
other end (https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html). macOS does not, so
every connection counts as the user's own there.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# The tables of this thread's network namespace, which may not be the process's.
_TABLES: Final = (Path("/proc/thread-self/net/tcp"), Path("/proc/thread-self/net/tcp6"))
# A table changes while it is read, so a socket may be missing in one reading.
_READINGS: Final = 5
_ROOT: Final = 0
# The columns of a line in the kernel's table.
_LOCAL, _REMOTE, _UID, _INODE = 1, 2, 7, 9
# User ids of people (UID_MIN and UID_MAX of login.defs), not of services.
_PEOPLE: Final = range(1000, 60001)
_CONTAINER: Final = re.compile("docker|containerd|kubepods|libpod|lxc")


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket in the kernel's table.

    Attributes:
        owner: the user id of its owner.
        inode: the number of its inode.
    """

    owner: int
    inode: int


def is_own(connection: socket.socket) -> bool:
    """Return whether this user, or root, is at the other end of an accepted loopback connection.

    Return False also where the other end is closed already: nobody waits for an answer there.
    """
    try:
        peer = _peer(connection)
    except OSError:
        return True  # this system does not tell
    return peer is not None and peer.owner in {os.geteuid(), _ROOT}


def inode_of_peer(connection: socket.socket) -> int | None:
    """Return the inode of the socket at the other end of an accepted loopback connection.

    Return None where it is closed already, or where this system does not tell.
    """
    try:
        peer = _peer(connection)
    except OSError:
        return None
    if peer is None:
        return None
    return peer.inode


def _peer(connection: socket.socket) -> Socket | None:
    """Return the socket at the other end; None where it is closed already.

    Raises:
        OSError: this system does not tell.
    """
    try:
        client, server = connection.getpeername(), connection.getsockname()
    except OSError:
        return None
    for _ in range(_READINGS):
        lines = [line for table in _TABLES for line in table.read_text().splitlines()[1:]]
        found = find_socket(lines, client[:2], server[:2])
        if found is not None:
            return found
    return None


def find_socket(
    lines: Iterable[str], local: tuple[str, int], remote: tuple[str, int]
) -> Socket | None:
    """Return a socket; None where the kernel's table has no such socket.

    Args:
        lines: the lines of `/proc/net/tcp` and `/proc/net/tcp6`.
        local: IPv4 address and port of the socket.
        remote: IPv4 address and port that it is connected to.
    """
    wanted = {(form(local), form(remote)) for form in (_as_ipv4, _as_ipv6)}
    for line in lines:
        columns = line.split()
        if (columns[_LOCAL], columns[_REMOTE]) not in wanted:
            continue
        # A socket that its process has closed belongs to nobody, and is listed as root's.
        if columns[_INODE] != "0":
            return Socket(int(columns[_UID]), int(columns[_INODE]))
    return None


def _as_ipv4(address: tuple[str, int]) -> str:
    host, port = address
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"


def _as_ipv6(address: tuple[str, int]) -> str:
    """Format an IPv4 address as a socket for IPv6 has it (Java opens such sockets)."""
    prefix = int.from_bytes(b"\x00\x00\xff\xff", sys.byteorder)
    return f"{0:016X}{prefix:08X}{_as_ipv4(address)}"


def other_users(processes: Path = Path("/proc")) -> tuple[str, ...]:
    """Return the names of the people, other than this user, who run programs on this machine.

    Accounts of services are not counted, and neither are programs in containers, which cannot reach
    this machine's loopback addresses. Linux only: () elsewhere.
    """
    found: set[int] = set()
    for process in processes.glob("[0-9]*"):
        try:
            owner = process.stat().st_uid
            if owner in found or owner == os.geteuid() or owner not in _PEOPLE:
                continue
            if not _CONTAINER.search((process / "cgroup").read_text()):
                found.add(owner)
        except OSError:
            continue  # the process has ended
    return tuple(sorted(_name_of(owner) for owner in found))


def _name_of(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)

"""Tells which process of this machine is at the other end of a loopback connection.

Linux tells it: the kernel's table has the inode of a socket, and `/proc/PID/fd` has the inodes of a
process's sockets. https://man7.org/linux/man-pages/man5/proc_pid_fd.5.html
macOS has neither.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Final

from terralive_workers import loopback

_PROCESSES: Final = Path("/proc")


def are_told() -> bool:
    """Tell whether this system tells which process is at the other end of a connection."""
    return (_PROCESSES / "self" / "fd").is_dir()


def session_of_caller(connection: socket.socket, sessions: Collection[int]) -> int | None:
    """Return the session among these that the process at the other end belongs to.

    Each worker's process leads a session of its own, and the processes that it starts are in it.

    Args:
        connection: an accepted connection.
        sessions: numbers of sessions, which are the ids of the processes that lead them.
    """
    inode = loopback.inode_of_peer(connection)
    if inode is None:
        return None
    wanted = f"socket:[{inode}]"
    for folder in _PROCESSES.glob("[0-9]*"):
        try:
            session = os.getsid(int(folder.name))
            if session in sessions and _has(folder / "fd", wanted):
                return session
        except OSError:
            continue  # the process has ended, or it is another user's
    return None


def _has(descriptors: Path, wanted: str) -> bool:
    for descriptor in descriptors.iterdir():
        try:
            if str(descriptor.readlink()) == wanted:
                return True
        except OSError:
            continue  # it was closed in the meantime
    return False

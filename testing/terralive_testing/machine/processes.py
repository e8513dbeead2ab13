"""Running processes of this machine, read from `ps`."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterable

from terralive_testing.machine.waiting import eventually


def _parents() -> dict[int, int]:
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
    )
    rows = (line.split() for line in listing.stdout.splitlines())
    return {int(row[0]): int(row[1]) for row in rows if not row[2].startswith("Z")}


def descendants(pid: int, *, without: Collection[int] = ()) -> list[int]:
    """Return every process below this one, but not those of `without` and what is below them."""
    parents = _parents()
    found: list[int] = []
    level = [pid]
    while level:
        level = [
            child for child, parent in parents.items() if parent in level and child not in without
        ]
        found += level
    return found


def running(pids: Iterable[int]) -> list[int]:
    """Return those of these processes that still run."""
    alive = _parents()
    return [pid for pid in pids if pid in alive]


def wait_until_frozen(*pids: int) -> None:
    """Wait until these execution environments can take the next invocation.

    They are stopped from then on. An invocation that comes earlier may start another environment.
    """
    listed = ",".join(str(pid) for pid in pids)

    def are_frozen() -> bool:
        found = subprocess.run(
            ["ps", "-o", "stat=", "-p", listed], capture_output=True, text=True, check=True
        )
        states = found.stdout.split()
        return len(states) == len(pids) and all(state.startswith("T") for state in states)

    eventually(are_frozen, f"the processes {listed} are frozen")


def command_lines() -> dict[int, str]:
    """Return the command line of every process, by its pid."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True
    )
    rows = (line.split(None, 1) for line in listing.stdout.splitlines())
    return {int(row[0]): row[1] for row in rows if len(row) > 1}

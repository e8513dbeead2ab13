"""Removes terralive's files from a team's folder when terralive is killed.

The guardian is a small process. It reads from a pipe whose writing end only terralive holds. The
kernel closes the pipe however terralive ends, also by `kill -9`. The guardian then waits for an
init that has outlived terralive, takes the folder's lock and cleans up. Where another terralive has
the lock already, that one has cleaned up.

It is in a session of its own, so a Ctrl-C at the terminal does not reach it.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_terraform.overrides.team_folder import clean_up, folder_lock, wait_for_init

_ALL_IS_WELL: Final = b"done\n"
# The kernel may close the pipe before it releases the lock of the process that was killed.
_LOCK_SECONDS: Final = 5.0
_END_SECONDS: Final = 10.0


class FolderGuardian:
    """Owns the guardian's process of one folder.

    Args:
        directory: the folder. This process holds its lock.
        end_s: seconds in which the guardian has to end by itself.
    """

    def __init__(self, directory: Path, end_s: float = _END_SECONDS) -> None:
        self._directory = directory
        self._end_s = end_s
        # The guardian's process: None before the first file is added, and after `close`.
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self) -> None:
        """Start the guardian, if it does not run yet. It has to run before a file is added."""
        if self._process is not None:
            return
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(self._directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def close(self) -> None:
        """End the guardian. The files are gone already."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            # It may have been killed.
            with contextlib.suppress(OSError):
                process.communicate(_ALL_IS_WELL, timeout=self._end_s)
        except subprocess.TimeoutExpired:
            # It may be stopped, or the machine is busy. It has nothing left to do.
            process.kill()
            process.wait()


def main(directory: Path) -> None:
    """Wait for the end of terralive, and clean up if it was killed."""
    if sys.stdin.buffer.readline() == _ALL_IS_WELL:
        return
    # Not under the lock: the next terralive may wait for that init, too, and says so if it is long.
    wait_for_init(directory, math.inf)
    with contextlib.suppress(ConfigurationError), folder_lock(directory, _LOCK_SECONDS):
        clean_up(directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

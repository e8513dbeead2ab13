"""The folder of one sandbox run: unpacked code, the functions' Python and their `/tmp` folders."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_PREFIX: Final = "terralive-sandbox-"


class Workspace:
    """A temporary folder that belongs to this process.

    Args:
        functions_have_own_tmp: true if functions see another folder in the place of `/tmp`.
    """

    def __init__(self, *, functions_have_own_tmp: bool) -> None:
        parent = Path(tempfile.gettempdir())
        if functions_have_own_tmp:
            # A private /tmp must not hide the code.
            parent = Path("/var/tmp")  # noqa: S108  # the folder's content is private
        _remove_left_overs(parent)
        # The folder itself; its name holds this process's id.
        self.root = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))

    def new_folder(self, prefix: str) -> Path:
        """Make an empty folder whose name begins with `prefix`."""
        return Path(tempfile.mkdtemp(dir=self.root, prefix=prefix))

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root, ignore_errors=True)


def _remove_left_overs(parent: Path) -> None:
    """Remove the folders of sandboxes that were killed."""
    for folder in parent.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (PermissionError, ValueError):
            continue  # The process belongs to another user, or the name is not a sandbox's.

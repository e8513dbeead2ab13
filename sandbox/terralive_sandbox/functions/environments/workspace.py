"""The folder of one sandbox run, and what an execution environment sees of this machine's folders.

In Lambda no execution environment sees another one's `/tmp`
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-ephemeral-storage.html), and most code
names that folder outright. A Linux mount namespace does this without a container. On a machine that
does not allow it, only `TMPDIR` points to the environment's folder, and the sandbox's banner says
so. Nothing else of the machine is hidden.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from terralive_sandbox.functions.environments import runtimes
from terralive_workers.launch import PYTHON_BOOTSTRAP

_PREFIX: Final = "terralive-sandbox-"
_OPT: Final = Path("/opt")
_TMP: Final = Path("/tmp")  # noqa: S108  # the very folder that is replaced
_ATTEMPT_SECONDS: Final = 10.0


class Workspace:
    """A temporary folder for unpacked code, the functions' Python and their `/tmp` folders."""

    def __init__(self) -> None:
        # The beginning of a command line that gives a process its own mounts, or ().
        self._namespace = _namespace_command()
        # True if each environment sees a folder of its own in the place of `/tmp`.
        self.has_own_tmp = bool(self._namespace)
        parent = Path(tempfile.gettempdir())
        if self.has_own_tmp:
            # A private /tmp must not hide the code.
            parent = Path("/var/tmp")  # noqa: S108  # the folder's content is private
        _remove_left_overs(parent)
        # The folder itself; its name holds this process's id.
        self.root = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))

    def new_folder(self, prefix: str) -> Path:
        """Make an empty folder whose name begins with `prefix`."""
        return Path(tempfile.mkdtemp(dir=self.root, prefix=prefix))

    def isolated(
        self, command: Sequence[str], code: Path, layers: Path | None, scratch: Path
    ) -> list[str]:
        """Return the command line that runs a command in isolation, if this machine allows it.

        Args:
            command: the runtime's command line.
            code: the folder of the code, which becomes read-only.
            layers: the folder with the content of layers, which takes the place of `/opt` unless
                a runtime needs a folder there; None if there are no layers.
            scratch: the folder that takes the place of `/tmp`.
        """
        if not self._namespace:
            return list(command)
        needed = {Path(sys.prefix), Path(sys.base_prefix), PYTHON_BOOTSTRAP.parent}
        needed |= {Path(command[0]).parent, *runtimes.node_packages()}
        steps = [_read_only(code, code)]
        if layers is not None and not any(path.is_relative_to(_OPT) for path in needed):
            steps.append(_read_only(layers, _OPT))
        # Folders below /tmp that a worker needs stay visible in the new /tmp.
        for path in sorted(needed):
            if path.is_relative_to(_TMP):
                inside = shlex.quote(str(scratch / path.relative_to(_TMP)))
                steps.append(f"mkdir -p {inside} && mount --bind {shlex.quote(str(path))} {inside}")
        steps.append(f"mount --rbind {shlex.quote(str(scratch))} {_TMP}")
        steps.append('exec "$@"')
        return [*self._namespace, "/bin/sh", "-c", " && ".join(steps), "sh", *command]

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root, ignore_errors=True)


def _read_only(folder: Path, place: Path) -> str:
    """Return the shell command that shows a folder in a place, where it cannot be changed."""
    target = shlex.quote(str(place))
    bind = f"mount --bind {shlex.quote(str(folder))} {target}"
    # Where a user's own mounts cannot be made read-only, the folder stays writable.
    return f"{{ {bind} && mount -o remount,bind,ro {target} || true; }}"


def _namespace_command() -> tuple[str, ...]:
    """Return the beginning of a command line with its own mounts; () if that is not possible."""
    if sys.platform != "linux":
        return ()
    unshare = shutil.which("unshare")
    if unshare is None or shutil.which("mount") is None:
        return ()
    command: tuple[str, ...] = (unshare, "--mount")
    if os.geteuid() != 0:
        command = (unshare, "--map-root-user", "--mount")
    attempt = [*command, "/bin/sh", "-c", "mount --bind /var/tmp /tmp"]
    try:
        done = subprocess.run(attempt, capture_output=True, timeout=_ATTEMPT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return command if done.returncode == 0 else ()


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

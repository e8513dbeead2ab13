"""Give an execution environment its own `/tmp`, and code that it cannot change.

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
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from terralive_workers.launch import PYTHON_BOOTSTRAP

_TMP: Final = Path("/tmp")  # noqa: S108  # the very folder that is replaced
_ATTEMPT_SECONDS: Final = 10.0


def namespace_command() -> tuple[str, ...]:
    """Return the beginning of a command line that gives a process its own mounts.

    Returns:
        () if this machine does not allow it.
    """
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
    if done.returncode != 0:
        return ()
    return command


def isolated(
    command: Sequence[str], code: Path, scratch: Path, namespace: Sequence[str]
) -> list[str]:
    """Return the command line that runs a command in isolation.

    Args:
        command: the runtime's command line.
        code: the folder of the code, which becomes read-only.
        scratch: the folder that takes the place of `/tmp`.
        namespace: the result of `namespace_command`; with () the command stays as it is.
    """
    if not namespace:
        return list(command)
    code_folder = shlex.quote(str(code))
    # Where a user's own mounts cannot be made read-only, the code stays writable.
    bind = f"mount --bind {code_folder} {code_folder}"
    make_read_only = f"mount -o remount,bind,ro {code_folder}"
    steps = [f"{{ {bind} && {make_read_only} || true; }}"]
    # Folders below /tmp that the worker needs stay visible in the new /tmp.
    for path in sorted(set(_interpreter_folders())):
        if path.is_relative_to(_TMP):
            inside = shlex.quote(str(scratch / path.relative_to(_TMP)))
            steps.append(f"mkdir -p {inside} && mount --bind {shlex.quote(str(path))} {inside}")
    steps.append(f"mount --rbind {shlex.quote(str(scratch))} {_TMP}")
    steps.append('exec "$@"')
    return [*namespace, "/bin/sh", "-c", " && ".join(steps), "sh", *command]


def _interpreter_folders() -> tuple[Path, ...]:
    """Return the folders that a Python function's worker reads besides its own code."""
    return Path(sys.prefix), Path(sys.base_prefix), PYTHON_BOOTSTRAP.parent

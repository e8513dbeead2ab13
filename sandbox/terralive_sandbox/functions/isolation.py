"""A `/tmp` of its own and code that it cannot change for an execution environment, where this machine can give it that.

In Lambda every execution environment has a `/tmp` that no other one sees
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-ephemeral-storage.html), and most code
names it outright. A Linux mount namespace does that without a container; elsewhere `TMPDIR` alone
points to the environment's folder, and `about` says so. Nothing else of the machine is hidden.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from terralive_workers.launch import PYTHON_BOOTSTRAP

_TMP = Path("/tmp")  # noqa: S108 - the very folder that is replaced
_TRY_SECONDS = 10.0


def namespace_command() -> tuple[str, ...]:
    """What a command line has to begin with to get mounts of its own, or () where this machine does not allow it."""
    unshare = shutil.which("unshare") if sys.platform == "linux" else None
    if unshare is None or shutil.which("mount") is None:
        return ()
    command = (unshare, "--mount") if os.geteuid() == 0 else (unshare, "--map-root-user", "--mount")
    attempt = [*command, "/bin/sh", "-c", "mount --bind /var/tmp /tmp"]
    try:
        works = (
            subprocess.run(
                attempt, capture_output=True, timeout=_TRY_SECONDS, check=False
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return command if works else ()


def isolated(
    command: Sequence[str], code: Path, scratch: Path, namespace: Sequence[str]
) -> list[str]:
    """The command line that runs `command` with `scratch` in the place of `/tmp`, and `code` for reading only."""
    if not namespace:
        return list(command)
    kept = {path for path in _interpreter() if path.is_relative_to(_TMP)}
    # Where a user's own mounts cannot be made read-only, the code stays writable.
    folder = shlex.quote(str(code))
    steps = [f"{{ mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} || true; }}"]
    for path in sorted(kept):
        inside = shlex.quote(str(scratch / path.relative_to(_TMP)))
        steps.append(f"mkdir -p {inside} && mount --bind {shlex.quote(str(path))} {inside}")
    steps.append(f"mount --rbind {shlex.quote(str(scratch))} {_TMP}")
    return [*namespace, "/bin/sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh", *command]


def _interpreter() -> tuple[Path, ...]:
    """The folders that a Python function's worker reads besides its own code."""
    return Path(sys.prefix), Path(sys.base_prefix), PYTHON_BOOTSTRAP.parent

"""Files that a killed run has left on this machine, and their removal by `--fix`.

Removed is only what no process uses, and what the next command would remove or write anew. A mark
of an unfinished deployment stays: it makes the next deployment complete.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import record
from terralive_cli.deploy.target import FOLDER, sandbox_file
from terralive_cli.doctor.findings import CheckState, Finding, Outcome, warning
from terralive_cli.output.formats.words import plural
from terralive_sandbox.info import SandboxInfo
from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.hcl.folders import OVERRIDE_FILE
from terralive_terraform.overrides.team_folder import (
    KEPT_LOCK_FILE,
    clean_up,
    folder_lock,
    has_own_files,
)

_FIX: Final = "Run `terralive doctor --fix`."
# The local backend writes this file beside the state: `.terraform.tfstate.lock.info`.
# https://developer.hashicorp.com/terraform/language/state/locking
_LOCK_INFO: Final = ".lock.info"


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Leftovers of killed runs.

    Attributes:
        own_files: the names of terralive's files beside the `*.tf` files.
        is_busy: true if a run of terralive is at work in that folder, whose files these are.
        locks: lock files of local states that no process holds.
        dead_sandbox: true if the file of a sandbox is there that does not answer.
        sandbox_folders: folders of sandboxes that do not run.
        unfinished: folders of stages, relative to `.terralive`, whose deployment was not finished.
    """

    own_files: tuple[str, ...] = ()
    is_busy: bool = False
    locks: tuple[Path, ...] = ()
    dead_sandbox: bool = False
    sandbox_folders: tuple[Path, ...] = ()
    unfinished: tuple[str, ...] = ()

    @property
    def blocks_terraform(self) -> bool:
        """Tell whether a run of Terraform would remove files, or wait for another run."""
        return bool(self.own_files)


def check_leftovers(config: Config, *, fix: bool) -> Outcome:
    """Look for leftovers, and remove what is safe to remove, if that is wanted."""
    found = find(config)
    findings = [*_removable(config, found), *_unfinished(found)]
    if fix:
        findings = [_fixed(config, found, finding) for finding in findings]
    if found.is_busy:
        return Outcome("another terralive command is running here", tuple(findings))
    if not findings:
        return Outcome("no killed run has left files")
    return Outcome(plural(len(findings), "leftover"), tuple(findings))


def find(config: Config) -> Leftovers:
    """Look for leftovers. Nothing changes."""
    directory = config.terraform.dir
    own_files: tuple[str, ...] = ()
    is_busy = False
    # A CDKTF program's output is in a folder of terralive's.
    if not config.terraform.app and has_own_files(directory):
        names = (OVERRIDE_FILE, KEPT_LOCK_FILE)
        own_files = tuple(name for name in names if (directory / name).exists())
        is_busy = _is_busy(directory)
    work = config.project / FOLDER
    running = _running_sandbox(sandbox_file(config.project))
    folders = [item for item in (work / "sandbox").glob("*") if item.is_dir()]
    if running is not None:
        folders = [item for item in folders if item.name != running.id]
    return Leftovers(
        own_files=own_files,
        is_busy=is_busy,
        locks=tuple(file for file in _lock_files(config) if not _is_held(file)),
        dead_sandbox=running is None and sandbox_file(config.project).exists(),
        sandbox_folders=tuple(folders),
        unfinished=tuple(_unfinished_stages(work)),
    )


def _removable(config: Config, found: Leftovers) -> Iterator[Finding]:
    if found.own_files and not found.is_busy:
        yield warning(
            "override-left",
            f"A killed run has left {', '.join(found.own_files)} in {config.terraform.dir}.",
            why="Terraform, run by hand there, would deploy stubs, or other provider versions. "
            "The next terralive command removes them, too.",
            fix=_FIX,
        )
    if found.locks:
        names = ", ".join(str(file) for file in found.locks)
        yield warning(
            "lock-left",
            f"A killed run of Terraform has left a lock that nobody holds: {names}.",
            why="It names a run that has ended, and people look for it.",
            fix=_FIX,
        )
    if found.dead_sandbox or found.sandbox_folders:
        yield warning(
            "sandbox-left",
            f"A sandbox that has ended has left its files in {config.project / FOLDER}.",
            why="They hold the Terraform states of an account that is gone.",
            fix=_FIX,
        )


def _unfinished(found: Leftovers) -> Iterator[Finding]:
    for stage in found.unfinished:
        yield warning(
            "deployment-unfinished",
            f"A deployment of the app was not finished: {FOLDER}/{stage}.",
            why="Resources of the app may be missing, such as the triggers of functions.",
            fix="Run `terralive start`, which deploys all of it, or `terralive destroy`.",
        )


def _fixed(config: Config, found: Leftovers, finding: Finding) -> Finding:
    """Remove the cause of a finding, and say so. One that `--fix` does not remove stays."""
    match finding.reference:
        case "override-left":
            done = _remove_own_files(config.terraform.dir)
        case "lock-left":
            done = _remove_locks(found.locks)
        case "sandbox-left":
            done = _remove_sandboxes(config, found)
        case _:
            return finding
    if not done:
        return finding
    return replace(finding, state=CheckState.OK, fixed=done)


def _remove_own_files(directory: Path) -> str:
    # A run that has begun meanwhile keeps its files.
    with suppress(ConfigurationError), folder_lock(directory):
        clean_up(directory, wait_s=0)
    if has_own_files(directory):
        return ""
    return "removed; the dependency lock file is as it was"


def _remove_locks(files: tuple[Path, ...]) -> str:
    for file in files:
        with _state_lock(file) as is_ours:
            if is_ours:
                file.unlink(missing_ok=True)
    if any(file.exists() for file in files):
        return ""
    return "removed"


def _remove_sandboxes(config: Config, found: Leftovers) -> str:
    # A sandbox that has begun meanwhile keeps its file.
    if found.dead_sandbox and _running_sandbox(sandbox_file(config.project)) is None:
        sandbox_file(config.project).unlink(missing_ok=True)
    for folder in found.sandbox_folders:
        shutil.rmtree(folder, ignore_errors=True)
    if any(folder.exists() for folder in found.sandbox_folders):
        return ""
    return "removed"


def _running_sandbox(file: Path) -> SandboxInfo | None:
    """Return the sandbox that a file names, if its process exists. It may be too busy to answer."""
    try:
        info = SandboxInfo.from_json(file.read_text("utf-8"))
        os.kill(info.pid, 0)
    except (OSError, ValueError, TypeError, OverflowError):
        # There is no such process, or it is somebody else's: the number was used again.
        return None
    return info


def _is_busy(directory: Path) -> bool:
    try:
        with folder_lock(directory, wait_s=0):
            return False
    except ConfigurationError:
        return True


def _lock_files(config: Config) -> list[Path]:
    """Return the lock files of local states in the folder of the app, and of terralive."""
    files = list(config.terraform.dir.glob(f".*{_LOCK_INFO}"))
    files += (config.project / FOLDER).rglob(f".*{_LOCK_INFO}")
    return sorted(files)


def _is_held(file: Path) -> bool:
    with _state_lock(file) as is_ours:
        return not is_ours


@contextmanager
def _state_lock(file: Path) -> Iterator[bool]:
    """Take the lock of the state that a lock file is about; yield whether nobody else has it.

    The local backend locks the state file by the system's own locks:
    https://developer.hashicorp.com/terraform/language/backend/local
    """
    name = file.name.removeprefix(".").removesuffix(_LOCK_INFO)
    try:
        descriptor = os.open(file.with_name(name), os.O_RDWR)
    except FileNotFoundError:
        yield True
        return
    except OSError:
        yield False
        return
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
        return
    else:
        yield True
    finally:
        os.close(descriptor)


def _unfinished_stages(work: Path) -> Iterator[str]:
    for place in ("aws", "sandbox"):
        for folder in sorted((work / place).glob("*/*")):
            if record.is_unfinished(folder):
                yield str(folder.relative_to(work))

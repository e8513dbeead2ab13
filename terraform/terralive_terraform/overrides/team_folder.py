"""A team's folder of `*.tf` files: its lock, and the files that terralive adds to it for a moment.

The files are gone when the context that adds them ends, whatever ends it. If terralive is killed,
its guardian removes them (see `guardian`). If that is killed, too, the next terralive does.

Terraform outlives a terralive that is killed, and an init writes the dependency lock file at its
end. So an init has a lock on the team's dependency lock file, which is put back after that end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.atomic_files import write_atomically
from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.hcl.folders import OVERRIDE_FILE
from terralive_terraform.overrides.lock_file import with_teams_versions
from terralive_terraform.runs.file_lock import take_lock

_LOCK_FILE: Final = ".terraform.lock.hcl"
# The team's dependency lock file while Terraform works with the stage's own. It is kept beside the
# original: the next run finds it there even if the stage's work folder is gone.
KEPT_LOCK_FILE: Final = ".terraform.lock.hcl.terralive"
# The guardian of a terralive that was killed holds the lock while it removes the files.
_GUARDIAN_SECONDS: Final = 2.0
_INIT_SECONDS: Final = 120.0


@contextmanager
def folder_lock(directory: Path, wait_s: float = _GUARDIAN_SECONDS) -> Iterator[None]:
    """Keep other terralive processes out of a folder. The kernel releases the lock at our end.

    Args:
        directory: the folder. It need not be writable.
        wait_s: seconds to wait for another process that has the lock.

    Raises:
        ConfigurationError: `folder-busy`.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if not take_lock(descriptor, wait_s):
            raise ConfigurationError(
                "folder-busy",
                f"Another terralive is running Terraform in {directory}.",
                hint="Wait for its end, or use another checkout for another stage.",
            )
        yield
    finally:
        os.close(descriptor)


def has_own_files(directory: Path) -> bool:
    """Tell whether a folder holds files of a run that is at work or was killed."""
    return any((directory / name).exists() for name in (OVERRIDE_FILE, KEPT_LOCK_FILE))


def wait_for_init(directory: Path, wait_s: float = _INIT_SECONDS) -> None:
    """Return when no init of a terralive that was killed is left in a folder.

    Args:
        directory: the folder.
        wait_s: seconds to wait for its end.

    Raises:
        ConfigurationError: `folder-busy`.
    """
    try:
        descriptor = os.open(directory / KEPT_LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        if not take_lock(descriptor, wait_s):
            raise ConfigurationError(
                "folder-busy",
                f"The `terraform init` of a terralive that was killed is still at work in "
                f"{directory}.",
                hint="Wait for its end (`ps` shows it), or stop it with `kill -INT`. Then run the "
                "same command again.",
            )
    finally:
        os.close(descriptor)


def clean_up(directory: Path, wait_s: float = _INIT_SECONDS) -> None:
    """Remove terralive's files from a folder, and put the team's dependency lock file back.

    Args:
        directory: the folder. This process holds its lock.
        wait_s: see `wait_for_init`.

    Raises:
        ConfigurationError: `folder-busy`.
    """
    wait_for_init(directory, wait_s)
    _return_lock_file(directory)
    _remove_override(directory)


@contextmanager
def override_file(directory: Path, override: Mapping[str, Json]) -> Iterator[None]:
    """Have an override file in a folder.

    Raises:
        ConfigurationError: `folder-not-writable`.
    """
    try:
        with _named(directory):
            write_override(directory, override)
        yield
    finally:
        _remove_override(directory)


def write_override(directory: Path, override: Mapping[str, Json]) -> None:
    """Write an override file; none where it would be empty."""
    if override:
        content = json.dumps(override, indent=2).encode()
        write_atomically(directory / OVERRIDE_FILE, content)
    else:
        (directory / OVERRIDE_FILE).unlink(missing_ok=True)


@contextmanager
def _named(directory: Path) -> Iterator[None]:
    """Name the folder where a file cannot be written."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            "folder-not-writable",
            f"terralive cannot write to {directory}: {error.strerror or error}.",
            hint="Terraform takes changes of the root module from an override file in its folder, "
            "which is there for a moment. Make the folder writable, or use another checkout.",
        ) from None


def _remove_override(directory: Path) -> None:
    (directory / OVERRIDE_FILE).unlink(missing_ok=True)
    _remove_parts(directory / OVERRIDE_FILE)


def _remove_parts(file: Path) -> None:
    """Remove what `write_atomically` leaves of a file when it is killed."""
    for part in file.parent.glob(f".{file.name}-*"):
        part.unlink(missing_ok=True)


@contextmanager
def stage_lock_file(directory: Path, stages_own: Path) -> Iterator[int]:
    """Give Terraform the stage's own dependency lock file, and put the team's back at the end.

    The stage's selects the versions of the team's, where the team has selected one.

    Yields the descriptor of a lock that Terraform has to inherit; see `wait_for_init`.

    Args:
        directory: the team's folder.
        stages_own: the file in which the stage keeps its own.

    Raises:
        ConfigurationError: `folder-not-writable`.
    """
    lock = directory / _LOCK_FILE
    kept = directory / KEPT_LOCK_FILE
    with ExitStack() as stack:
        stack.callback(_return_lock_file, directory)
        with _named(directory):
            if lock.is_file():
                lock.rename(kept)
            else:
                kept.touch()
            descriptor = os.open(kept, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            take_lock(descriptor, _GUARDIAN_SECONDS)
            selected = with_teams_versions(_content(stages_own), _content(kept))
            if selected:
                write_atomically(lock, selected.encode())
        yield descriptor
        if lock.is_file():
            write_atomically(stages_own, lock.read_bytes())


def _content(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        return ""


def _return_lock_file(directory: Path) -> None:
    """Put the team's dependency lock file back; an empty one says that the team has none."""
    kept, lock = directory / KEPT_LOCK_FILE, directory / _LOCK_FILE
    _remove_parts(lock)
    if not kept.is_file():
        return
    if kept.stat().st_size > 0:
        kept.replace(lock)
    else:
        lock.unlink(missing_ok=True)
        kept.unlink()

"""The override file beside a team's Terraform configuration, and the folder's lock.

The file exists only while Terraform runs. Whatever ends that, an error or a signal, it is removed;
what a killed process leaves is removed by the next one.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.atomic_files import write_atomically
from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.files import OVERRIDE_FILE
from terralive_terraform.substitution.rules import Substitution, override_document

_LOCK_FILE: Final = ".terraform.lock.hcl"
# The team's dependency lock file while Terraform works with the stage's own. It is kept beside the
# original: the next run finds it there even if the stage's work folder is gone.
KEPT_LOCK_FILE: Final = ".terraform.lock.hcl.terralive"


def write_override(
    directory: Path, substitutions: Mapping[str, Substitution], state: Path | None = None
) -> None:
    """Write the override file that makes a module's functions live; none where it would be empty.

    Args:
        directory: the module's folder.
        substitutions: how its functions become live, by their labels.
        state: a state file that replaces the team's backend; None for the team's own.
    """
    document = {**override_document(substitutions), **_backend(state)}
    if document:
        write_atomically(directory / OVERRIDE_FILE, json.dumps(document, indent=2).encode())
    else:
        remove_override(directory)


def remove_override(directory: Path) -> None:
    """Remove the override file from a module's folder."""
    (directory / OVERRIDE_FILE).unlink(missing_ok=True)


def has_own_files(directory: Path) -> bool:
    """Tell whether a folder holds files of a run that is at work or was killed."""
    return any((directory / name).exists() for name in (OVERRIDE_FILE, KEPT_LOCK_FILE))


def _backend(state: Path | None) -> dict[str, Json]:
    """Return the override of the backend, which replaces any other one, also `cloud`."""
    if state is None:
        return {}
    state = state.resolve()
    local: Json = {"path": str(state), "workspace_dir": str(state.parent / "workspaces")}
    return {"terraform": {"backend": {"local": local}}}


@contextmanager
def folder_lock(directory: Path) -> Iterator[None]:
    """Keep other terralive processes out of a folder. The kernel releases the lock at our end.

    Raises:
        ConfigurationError: `folder-busy`.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                "folder-busy",
                f"Another terralive is running Terraform in {directory}.",
                hint="Wait for its end, or use another checkout for another stage.",
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def stage_lock_file(directory: Path, work: Path) -> Iterator[None]:
    """Give Terraform the stage's own dependency lock file, and put the team's back at the end."""
    lock = directory / _LOCK_FILE
    kept = directory / KEPT_LOCK_FILE
    stages_own = work / "stage.lock.hcl"
    content = lock.read_bytes() if lock.is_file() else b""
    write_atomically(kept, content)
    try:
        lock.unlink(missing_ok=True)
        if stages_own.is_file():
            write_atomically(lock, stages_own.read_bytes())
        yield
    finally:
        if lock.is_file():
            write_atomically(stages_own, lock.read_bytes())
        return_lock_file(directory)


def return_lock_file(directory: Path) -> None:
    """Put the team's dependency lock file back; an empty one says that the team has none."""
    kept, lock = directory / KEPT_LOCK_FILE, directory / _LOCK_FILE
    if not kept.is_file():
        return
    content = kept.read_bytes()
    if content:
        write_atomically(lock, content)
    else:
        lock.unlink(missing_ok=True)
    kept.unlink()

"""Tells whether a debug stack is as the last plan from here has left it, without another plan.

A mark is written when a plan of the debug stack has changed nothing, or was applied. It is a hash
of the configuration, of the description in the table, and of the version of Terraform's state: a
change that another checkout, another version of terralive or another run of Terraform has made
gives another mark. What is changed by hand in AWS gives the same one. `terralive start --refresh`,
`terralive plan` and `terralive apply` plan in any case.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from terralive_cli.joining.description import StackDescription
from terralive_stub.shared.atomic_files import write_atomically

_log: Final = logging.getLogger("terralive.cli")


@dataclass(frozen=True, slots=True)
class Applied:
    """A debug stack after a plan.

    Attributes:
        configuration: a hash of its configuration.
        description: its description in the table.
        state: the version of Terraform's state; see `KnownState.version`.
    """

    configuration: str
    description: StackDescription
    state: str

    @property
    def mark(self) -> str:
        """A hash of it."""
        values = [self.configuration, asdict(self.description), self.state]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def is_as_applied(file: Path, applied: Applied) -> bool:
    """Tell whether a mark was written for this debug stack."""
    try:
        return file.read_text("utf-8") == applied.mark
    except (OSError, UnicodeDecodeError):
        return False


def write_mark(file: Path, applied: Applied) -> None:
    """Write the mark of a debug stack that needs no plan now. Without it, the next start plans."""
    try:
        write_atomically(file, applied.mark.encode())
    except OSError as error:
        _log.debug("it is not written down how the debug stack was applied: %s", error)

"""Events of `terralive init`. Field names are names in JSON: see `terralive_cli.output.events`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from terralive_relay.events import Event
from terralive_stub.shared.json_documents import Json


class FileState(StrEnum):
    """State of a file of `terralive init`."""

    PROPOSED = "proposed"  # a person is asked next
    WRITTEN = "written"  # it is new
    CHANGED = "changed"
    UNCHANGED = "unchanged"  # it was right already
    LEFT = "left"  # it would change, and nobody has agreed
    REFUSED = "refused"  # it leads out of the repository


@dataclass(frozen=True, slots=True)
class FileListed(Event):
    """A file that `terralive init` writes, would write, or leaves as it is.

    Attributes:
        path: its path, relative to the folder that the command works in.
        state: see `FileState`.
        purpose: what it is for, or why it was refused.
        diff: the unified diff of an existing file that changes; "" otherwise.
    """

    type = "file"
    path: str
    state: FileState
    purpose: str
    diff: str = ""


@dataclass(frozen=True, slots=True)
class PolicyListed(Event):
    """An IAM policy of `terralive init --policy`.

    Attributes:
        name: its name (`developer`).
        purpose: who needs it.
        document: the policy.
        alone: whether it is the only one that was asked for.
    """

    type = "policy"
    name: str
    purpose: str
    document: Mapping[str, Json]
    alone: bool = False

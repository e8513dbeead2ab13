"""The record of a start: what its plan depended on, and what its `ready` event has shown.

It is a file of the stage's work folder that only its owner may read. It is removed when a start or
an apply begins, and written when all functions are live. So where it is, nothing has failed since.
It holds no secret: settings are keyed hashes, and outputs are those that are not sensitive.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from terralive_cli.live import last_session
from terralive_cli.unchanged.files import FileInputs, Mark, Snapshot
from terralive_relay.events import Warned
from terralive_stub.shared.atomic_files import write_atomically
from terralive_stub.shared.json_documents import (
    Json,
    as_object,
    items,
    number,
    read_object,
    section,
    text,
)
from terralive_terraform.substitution.rules import NotLive
from terralive_workers.function import LocalFunction

_log: Final = logging.getLogger("terralive.cli")
# Records of another format are not used.
_FORMAT: Final = "1"


@dataclass(frozen=True, slots=True)
class DeployedStub:
    """A live function as Lambda described it when it was live.

    Attributes:
        sha256: SHA-256 of its zip, in base64.
        modified: the time of its last change, as Lambda writes it.
    """

    sha256: str
    modified: str


@dataclass(frozen=True, slots=True)
class Shown:
    """The live app as a start has shown it.

    Attributes:
        functions: the live functions.
        ports: the ports of their debuggers, by their ARNs.
        refused: the functions that stay as they are, by address.
        outputs: the outputs that are not sensitive.
        found_by: how code was found, by the address of the function.
        warnings: the warnings about the app.
        schedules: the expressions of its rules and schedules, by their names.
    """

    functions: tuple[LocalFunction, ...] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, NotLive] = field(default_factory=dict)
    outputs: Mapping[str, Json] = field(default_factory=dict)
    found_by: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()
    schedules: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """A start at whose end all functions were live.

    Attributes:
        undecided: the reason why the next start has to plan whatever has changed; "" for none.
        table: the table of the debug stack.
        directory: the root module's folder.
        description: a hash of the debug stack's description.
        settings: keyed hashes of the settings; see `settings.settings_of`.
        inputs: the files that the plan depended on.
        snapshot: those files.
        deployed: the live functions as Lambda described them, by ARN.
        aliases: the versions of aliases by their names, by the ARN of their function.
        shown: the app as it was shown.
        stubs: the sums of the stubs that stand at functions' own handlers.
    """

    undecided: str = ""
    table: str = ""
    directory: Path = Path()
    description: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    inputs: FileInputs = field(default_factory=FileInputs)
    snapshot: Snapshot = field(default_factory=Snapshot)
    deployed: Mapping[str, DeployedStub] = field(default_factory=dict)
    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    shown: Shown = field(default_factory=Shown)
    stubs: frozenset[str] = frozenset()


def write(file: Path, record: Record) -> None:
    """Write a record. Where the file cannot be written, there is none."""
    data = json.dumps(_document(record), indent=1).encode()
    try:
        write_atomically(file, data)
    except OSError as error:
        _log.debug("the start is not written down: %s", error)


def read(file: Path) -> Record | None:
    """Read a record; None where there is none, or it has another format, or code is gone.

    What is damaged reads as empty, and so differs from what is found.
    """
    document = read_object(file)
    functions = [last_session.function_of(as_object(item)) for item in items(document, "functions")]
    known = tuple(function for function in functions if function is not None)
    if text(document, "format") != _FORMAT or len(known) < len(functions):
        return None
    marks: dict[Path, Mark] = {}
    for path, item in section(document, "marks").items():
        marks[Path(path)] = _mark(as_object(item))
    deployed: dict[str, DeployedStub] = {}
    for arn, item in section(document, "deployed").items():
        values = as_object(item)
        deployed[arn] = DeployedStub(text(values, "sha256"), text(values, "modified"))
    aliases: dict[str, dict[str, str]] = {}
    for arn, item in section(document, "aliases").items():
        aliases[arn] = {name: str(version) for name, version in as_object(item).items()}
    folders = section(document, "folders")
    return Record(
        undecided=text(document, "undecided"),
        table=text(document, "table"),
        directory=Path(text(document, "directory")),
        description=text(document, "description"),
        settings={name: str(item) for name, item in section(document, "settings").items()},
        inputs=FileInputs(
            _paths(document, "files"),
            _paths(document, "modules"),
            _paths(document, "trees"),
            _paths(document, "names"),
            _paths(document, "left_out"),
        ),
        snapshot=Snapshot(
            int(number(document, "taken_ns")),
            marks,
            {Path(path): str(item) for path, item in folders.items()},
        ),
        deployed=deployed,
        aliases=aliases,
        shown=_shown(document, known),
        stubs=frozenset(str(item) for item in items(document, "stubs")),
    )


def _document(record: Record) -> dict[str, Json]:
    inputs, shown = record.inputs, record.shown
    return {
        "format": _FORMAT,
        "undecided": record.undecided,
        "table": record.table,
        "directory": str(record.directory),
        "description": record.description,
        "settings": dict(record.settings),
        "files": _texts(inputs.files),
        "modules": _texts(inputs.modules),
        "trees": _texts(inputs.trees),
        "names": _texts(inputs.names),
        "left_out": _texts(inputs.left_out),
        "taken_ns": record.snapshot.taken_ns,
        "marks": {str(path): asdict(mark) for path, mark in record.snapshot.marks.items()},
        "folders": {str(path): digest for path, digest in record.snapshot.names.items()},
        "deployed": {arn: asdict(item) for arn, item in record.deployed.items()},
        "aliases": {arn: dict(versions) for arn, versions in record.aliases.items()},
        "stubs": list[Json](sorted(record.stubs)),
        "functions": [last_session.described(item) for item in shown.functions],
        "ports": dict(shown.ports),
        "refused": [_refusal(item) for item in shown.refused.values()],
        "outputs": dict(shown.outputs),
        "found_by": dict(shown.found_by),
        "schedules": dict(shown.schedules),
        "warnings": [
            {"reference": item.reference, "message": item.message, "function": item.function}
            for item in shown.warnings
        ],
    }


def _mark(values: Mapping[str, Json]) -> Mark:
    return Mark(
        text(values, "sha256"),
        int(number(values, "size")),
        int(number(values, "modified_ns")),
        int(number(values, "changed_ns")),
        int(number(values, "inode")),
    )


def _refusal(item: NotLive) -> Json:
    lines: list[Json] = list(item.lines)
    return {"address": item.address, "reason": item.reason, "key": item.key, "lines": lines}


def _shown(document: Mapping[str, Json], functions: tuple[LocalFunction, ...]) -> Shown:
    refused: dict[str, NotLive] = {}
    for item in items(document, "refused"):
        values = as_object(item)
        lines = tuple(str(line) for line in items(values, "lines"))
        address = text(values, "address")
        refused[address] = NotLive(address, text(values, "reason"), text(values, "key"), lines)
    warnings: list[Warned] = []
    for item in items(document, "warnings"):
        values = as_object(item)
        warnings.append(
            Warned(text(values, "reference"), text(values, "message"), text(values, "function"))
        )
    ports = section(document, "ports")
    return Shown(
        functions=functions,
        ports={arn: int(number(ports, arn)) for arn in ports},
        refused=refused,
        outputs=section(document, "outputs"),
        found_by={name: str(item) for name, item in section(document, "found_by").items()},
        warnings=tuple(warnings),
        schedules={name: str(item) for name, item in section(document, "schedules").items()},
    )


def _texts(paths: frozenset[Path]) -> list[Json]:
    return [str(path) for path in sorted(paths)]


def _paths(document: Mapping[str, Json], name: str) -> frozenset[Path]:
    return frozenset(Path(str(item)) for item in items(document, name))

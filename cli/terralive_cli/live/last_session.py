"""The functions of a stage in its last session on this machine.

`start` and `apply` write them down when they are live. The next `start` serves them while Terraform
evaluates, plans and applies, because Terraform itself may invoke one (`aws_lambda_invocation`).

The file has no values of environment variables and no secrets, and only its owner may read it.
Functions that cannot be read, or whose code is gone, are left out. A start works without the file.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, as_object, items, read_object, text
from terralive_workers.function import Build, LayerPart, LocalFunction

_log: Final = logging.getLogger("terralive.cli")
# Files with another format are not used.
_FORMAT: Final = "1"


def write(file: Path, relay_url: str, functions: Sequence[LocalFunction]) -> None:
    """Write the functions of a session. Where the file cannot be written, there is none.

    Args:
        file: the file; its folder exists.
        relay_url: the address of the debug stack's API for relays.
        functions: the live functions.
    """
    document = {
        "format": _FORMAT,
        "version": version("terralive"),
        "relay_url": relay_url,
        "functions": [described(function) for function in functions],
    }
    new = file.with_name(f"{file.name}.new")
    try:
        new.unlink(missing_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(document, stream, indent=2)
        new.replace(file)
    except OSError as error:
        _log.debug("the live functions are not written down: %s", error)


def read(file: Path, relay_url: str) -> tuple[LocalFunction, ...]:
    """Read the functions of the last session; () where there is none of this debug stack.

    Functions whose local code is gone are left out.
    """
    document = read_object(file)
    if text(document, "relay_url") != relay_url:
        return ()
    return _functions_of(document)


def newest(files: Iterable[Path]) -> tuple[LocalFunction, ...]:
    """Read the functions of the session that was written last; () where there is none.

    Args:
        files: the files of sessions, some of which may not exist.
    """
    present = [file for file in files if file.is_file()]
    if not present:
        return ()
    return _functions_of(read_object(max(present, key=lambda file: file.stat().st_mtime_ns)))


def _functions_of(document: Mapping[str, Json]) -> tuple[LocalFunction, ...]:
    made_by = (text(document, "format"), text(document, "version"))
    if made_by != (_FORMAT, version("terralive")):
        return ()
    functions: dict[str, LocalFunction] = {}
    for item in items(document, "functions"):
        function = function_of(as_object(item))
        if function is not None:
            functions[function.arn] = function
    return tuple(functions.values())


def described(function: LocalFunction) -> dict[str, Json]:
    """Return a function as a JSON object. A debugger belongs to one session only."""
    build: Json = None
    if function.build is not None:
        build = {"command": function.build.command, "folder": str(function.build.folder)}
    return {
        "name": function.name,
        "arn": function.arn,
        "label": function.label,
        "address": function.address,
        "runtime": function.runtime,
        "handler": function.handler,
        "path": str(function.path),
        "python": str(function.python),
        "node": str(function.node),
        "command": list(function.command),
        "watch": list(function.watch),
        "build": build,
        "max_workers": function.max_workers,
        "allow_variables": list(function.allow_variables),
        "roots": [str(root) for root in function.roots],
        "layers": [
            {"local": str(part.local), "target": part.target, "arn": part.arn}
            for part in function.layers
        ],
        "also_watched": [str(path) for path in function.also_watched],
    }


def function_of(document: Mapping[str, Json]) -> LocalFunction | None:
    """Return the function of a JSON object; None where it is damaged, or its code is gone."""
    path, python = Path(text(document, "path")), Path(text(document, "python"))
    max_workers = document.get("max_workers", 0)
    needed = [text(document, key) for key in ("name", "arn", "address", "path", "node")]
    if not isinstance(max_workers, int) or max_workers < 1:
        return None
    if not all(needed) or not path.is_dir() or not python.is_file():
        return None
    build = None
    described = as_object(document.get("build"))
    if described:
        build = Build(text(described, "command"), Path(text(described, "folder")))
    return LocalFunction(
        name=text(document, "name"),
        arn=text(document, "arn"),
        label=text(document, "label"),
        address=text(document, "address"),
        runtime=text(document, "runtime"),
        handler=text(document, "handler"),
        path=path,
        python=python,
        node=Path(text(document, "node")),
        command=_texts(document, "command"),
        watch=_texts(document, "watch"),
        build=build,
        max_workers=max_workers,
        allow_variables=_texts(document, "allow_variables"),
        roots=_paths(document, "roots"),
        layers=tuple(_layer_part(as_object(item)) for item in items(document, "layers")),
        also_watched=_paths(document, "also_watched"),
    )


def _layer_part(document: Mapping[str, Json]) -> LayerPart:
    return LayerPart(Path(text(document, "local")), text(document, "target"), text(document, "arn"))


def _paths(document: Mapping[str, Json], name: str) -> tuple[Path, ...]:
    return tuple(Path(path) for path in _texts(document, name))


def _texts(document: Mapping[str, Json], name: str) -> tuple[str, ...]:
    return tuple(str(item) for item in items(document, name))

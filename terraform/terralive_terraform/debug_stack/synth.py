"""Synthesis of a team's own subclass of `DebugStack`, only when something has changed.

It runs in a process of its own (`synth_program.py`). That keeps jsii out of the command line: its
start-up time, its threads and its output.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.atomic_files import write_atomically
from terralive_stub.shared.json_documents import Json, parse_object, read_object, section, text
from terralive_terraform.debug_stack.settings import DebugStackSettings
from terralive_terraform.runs.node import node_for_jsii

_CACHE: Final = "terralive-synth.json"
_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class CustomStack:
    """A team's own subclass of `DebugStack`.

    Attributes:
        path: its import path, `package.module:Class`.
        folder: the folder from which it is imported.
    """

    path: str
    folder: Path


def synthesised(
    custom: CustomStack,
    settings: DebugStackSettings,
    cache: Path,
    environment: Mapping[str, str],
) -> bytes:
    """Return the configuration of a subclass as JSON.

    The last one is kept in the folder `cache`. It is used again while terralive's version, the
    settings and every file of the team's that the program has imported are the same.

    Raises:
        TerraliveError: `node-missing`.
        ConfigurationError: `debug-stack-class`: the class cannot be imported or synthesised.
    """
    file = cache / _CACHE
    key = _key(custom, settings)
    known = read_object(file)
    if text(known, "key") == key and _unchanged(section(known, "files")):
        return text(known, "document").encode()
    output = _run(custom, settings, environment)
    answer: dict[str, Json] = {
        "key": key,
        "document": text(output, "document"),
        "files": dict(section(output, "files")),
    }
    write_atomically(file, json.dumps(answer).encode())
    return text(answer, "document").encode()


def digest(file: Path) -> str:
    """Return a hash of a file's content; "" where it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def _key(custom: CustomStack, settings: DebugStackSettings) -> str:
    # Owner and date of creation do not count: only their first values are used.
    facts = {**asdict(settings), "created": "", "owner": ""}
    everything = [version("terralive"), custom.path, str(custom.folder), facts]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


def _unchanged(files: Mapping[str, Json]) -> bool:
    for name, known in files.items():
        if digest(Path(name)) != known:
            return False
    return bool(files)


def template() -> bytes:
    """Return the configuration of terralive's own `DebugStack`, as `template.tf.json` has it.

    Raises:
        TerraliveError: `node-missing`.
    """
    ended = _program(["--template"], b"", os.environ, Path.cwd())
    if ended.returncode != 0:
        raise RuntimeError(ended.stderr.decode())
    return ended.stdout


def _run(
    custom: CustomStack, settings: DebugStackSettings, environment: Mapping[str, str]
) -> dict[str, Json]:
    request = {
        "class": custom.path,
        "folder": str(custom.folder),
        "settings": asdict(settings),
    }
    ended = _program([], json.dumps(request).encode(), environment, custom.folder)
    # The team's module may print, too. The answer is the last line.
    lines = ended.stdout.decode("utf-8", "replace").strip().splitlines()
    if ended.returncode != 0 or not lines:
        tail = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-_LINES:]
        raise ConfigurationError(
            "debug-stack-class",
            f'The debug stack\'s class "{custom.path}" could not be synthesised.\n'
            + "\n".join(tail),
            hint="Correct it, or [debug_stack] class in terralive.toml: `package.module:Class`, "
            f"imported from {custom.folder}, a subclass of "
            "`terralive_terraform.debug_stack.DebugStack`.",
        )
    return parse_object(lines[-1])


def _program(
    arguments: Sequence[str], request: bytes, environment: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "terralive_terraform.debug_stack.synth_program", *arguments],
        input=request,
        env={**environment, "JSII_NODE": node_for_jsii(environment)},
        cwd=folder,
        capture_output=True,
        check=False,
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(template())

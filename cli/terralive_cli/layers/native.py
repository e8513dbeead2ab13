"""Finds packages in layers that are compiled for another Python or machine. It only reads.

The name of a compiled module says what it is for: `_x.cpython-312-x86_64-linux-gnu.so`
(https://peps.python.org/pep-3149/).
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from terralive_cli.functions.interpreters import version_of
from terralive_relay.events import Warned
from terralive_workers.function import LocalCode

_COMPILED: Final = re.compile(r".+\.cpython-3(?P<minor>\d+)\w*-(?P<machine>\w+)-linux-\w+\.so")
# A look at layers must not delay a start.
_MOST_FOLDERS: Final = 2000


def native_warnings(code: Iterable[LocalCode]) -> Iterator[Warned]:
    """Yield a warning for each Python function whose layers have modules that do not load here."""
    known: dict[Path, str] = {}
    for function in code:
        if not function.runtime.startswith("python") or function.command:
            continue
        version = version_of(function.python)
        for part in function.layers:
            if version is None or not part.local.is_dir():
                continue
            if part.local not in known:
                known[part.local] = _compiled_module(part.local)
            fault = _fault(known[part.local], version)
            if fault:
                name = part.arn or str(part.local)
                yield Warned(
                    "layer-for-another-machine",
                    f"The layer {name} has modules for {fault}: they do not load here, and come "
                    "before those that are installed on this machine. Where the handler needs "
                    "them, run it on that Python (`python` in its table), or install them into the "
                    "project's virtual environment and say no to the layer's download.",
                    function.address,
                )
                break


def _compiled_module(folder: Path) -> str:
    """Return the name of a compiled module; "" where there is none."""
    for looked_at, (_, _, names) in enumerate(os.walk(folder)):
        found = next((name for name in names if _COMPILED.fullmatch(name)), "")
        if found or looked_at == _MOST_FOLDERS:
            return found
    return ""


def _fault(module: str, version: str) -> str:
    """Return what a compiled module is made for, if it is not this interpreter and machine."""
    match = _COMPILED.fullmatch(module)
    if match is None:
        return ""
    made_for = (match["minor"], match["machine"])
    machine = platform.machine().replace("arm64", "aarch64")
    here = (version.split(".")[1], machine)
    if made_for == here and sys.platform == "linux":
        return ""
    return f"Python 3.{match['minor']} on Linux, {match['machine']}"

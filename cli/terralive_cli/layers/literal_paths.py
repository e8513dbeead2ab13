"""Finds code that reads a layer by its literal path: `/opt` is a folder of Lambda's. It only reads.

https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from terralive_relay.code.changes import IGNORED_FOLDERS
from terralive_relay.events import Warned
from terralive_workers.function import LocalCode

_SUFFIXES: Final = (".py", ".js", ".mjs", ".cjs", ".ts", ".mts", ".sh")
_LITERAL: Final = re.compile(rb"""["'`]/opt/[^"'`\s]""")
# A look at code must not delay a start.
_MOST_FILES: Final = 300
_MOST_BYTES: Final = 512 * 1024
_MOST_SHOWN: Final = 3


def literal_path_warnings(code: Iterable[LocalCode]) -> Iterator[Warned]:
    """Yield a warning for each function with layers whose code names a file below `/opt`."""
    known: dict[Path, list[str]] = {}
    for function in code:
        if not function.layers:
            continue
        if function.path not in known:
            known[function.path] = _places(function.path)
        places = known[function.path]
        if places:
            yield Warned(
                "code-names-opt",
                f"{', '.join(places)}: the code names a file below /opt, where Lambda has layers. "
                "Here, layers are on the search paths for modules and programs only, so such a "
                "file is not found. Name it by a variable, and set the variable for local runs: "
                f"env = {{ … }} in [functions.'{function.address}'] of terralive.toml.",
                function.address,
            )


def _places(folder: Path) -> list[str]:
    """Return the first lines that name a file below `/opt`, as `app.py:3`."""
    found: list[str] = []
    for file in _files(folder):
        try:
            content = file.read_bytes()
        except OSError:
            continue
        match = _LITERAL.search(content)
        if match is not None:
            line = content.count(b"\n", 0, match.start()) + 1
            found.append(f"{file.relative_to(folder).as_posix()}:{line}")
        if len(found) == _MOST_SHOWN:
            break
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of code in a folder, without those that tools have installed."""
    seen = 0
    for current, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if name not in IGNORED_FOLDERS)
        for name in sorted(names):
            file = Path(current, name)
            if file.suffix not in _SUFFIXES or not file.is_file():
                continue
            if file.stat().st_size <= _MOST_BYTES:
                seen += 1
                if seen > _MOST_FILES:
                    return
                yield file

"""The interpreter of a Python version on this machine. It runs interpreters, and no code of users.

It is used where a project has no virtual environment, and terralive's own Python is of another
version than the function's in Lambda.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from terralive_workers.function import LocalCode
from terralive_workers.interpreters.pythons import candidates

_RUNTIME: Final = re.compile(r"python(3\.\d+)")
_SECONDS: Final = 20
# Prints the interpreter's version, and which of the named modules it does not find.
_LOOK: Final = """\
import importlib.util, json, sys
names = json.loads(sys.argv[1])
missing = [name for name in names if importlib.util.find_spec(name) is None]
print(json.dumps(["%d.%d" % sys.version_info[:2], missing]))
"""


def deployed_python(
    code: LocalCode, file: Path | None, environ: Mapping[str, str] | None = None
) -> Path | None:
    """Return an interpreter of the deployed version; None where there is none that can run it.

    It has to find all modules that the handler's file imports: what is installed for another
    interpreter may not be installed for it.

    Args:
        code: the code of a Python function.
        file: the handler's file; None where there is none yet.
        environ: the environment variables; None for those of this process.
    """
    match = _RUNTIME.fullmatch(code.runtime)
    if match is None or match[1] == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return None
    installed: tuple[str, ...] = ()
    if file is not None:
        installed = _installed(imported_modules(file), (code.path, *code.roots))
    for candidate in candidates(match[1], environ or os.environ):
        if _can_run(candidate, match[1], ()) and _can_run(candidate, match[1], installed):
            return candidate
    return None


def imported_modules(file: Path) -> tuple[str, ...]:
    """Return the names of the modules that a file imports, without those within them."""
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (OSError, SyntaxError, ValueError):
        return ()
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return tuple(sorted(names))


def _installed(names: Sequence[str], folders: Sequence[Path]) -> tuple[str, ...]:
    """Return the modules that have to be installed: not Python's own, and in none of the folders.

    Most functions of an app need the same ones, so that an interpreter is asked a few times only.
    """
    others: list[str] = []
    for name in names:
        is_here = any(
            (folder / name).is_dir() or (folder / f"{name}.py").is_file() for folder in folders
        )
        if name not in sys.stdlib_module_names and not is_here:
            others.append(name)
    return tuple(others)


@cache
def _can_run(program: Path, version: str, names: Sequence[str]) -> bool:
    """Ask an interpreter for its version, and whether it finds installed modules."""
    try:
        ended = subprocess.run(
            [program, "-E", "-c", _LOOK, json.dumps(names)],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        found: object = json.loads(ended.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False
    return found == [version, []]

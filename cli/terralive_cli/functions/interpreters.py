"""Which program runs a function's handler on this machine, and whether it is of the deployed runtime's version.

Finds files and asks programs for their version; what follows from that is decided by its callers.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from terralive_terraform.runs import node

OLDEST_NODE: Final = 18
_KINDS: Final = {"python": "Python", "nodejs": "Node.js"}


def find(program: str, folders: Sequence[Path] = ()) -> Path | None:
    """Find a program.

    A bare name on PATH, a relative path below the first of `folders` that has it.
    """
    if "/" not in program:
        found = shutil.which(program)
        return Path(found) if found else None
    path = Path(program).expanduser()
    candidates = [folder / path for folder in folders] or [path]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def python_of(project: Path, path: Path) -> Path:
    """Find the project's own Python.

    A venv in the code's folder or above it, up to the project; else this one.
    """
    folders = [path, *path.parents]
    stop = folders.index(project) + 1 if project in folders else 1
    for folder in [*folders[:stop], project]:
        for name in (".venv", "venv"):
            candidate = folder / name / "bin" / "python"
            if candidate.exists():
                return candidate
    return Path(sys.executable)


def default_node() -> Path | None:
    """Find the Node.js on PATH.

    Else the one that is there for Terraform's sake, which `is_bundled` knows.
    """
    bundled = node.from_pypi()
    return find("node") or (Path(bundled) if bundled else None)


def is_bundled(program: Path) -> bool:
    return str(program) == node.from_pypi()


@cache
def version_of(program: Path) -> str:
    """Ask an interpreter for its version (`3.12.4`); "" where it does not say."""
    if program == Path(sys.executable):
        return ".".join(str(part) for part in sys.version_info[:3])
    try:
        ended = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(\.\d+)+", ended.stdout)
    return found[0] if found else ""


def mismatch(runtime: str, program: Path, version: str) -> str:
    """Say that a runtime (`python3.12`, `nodejs20.x`) and the local interpreter differ.

    "" where they do not.
    """
    match = re.fullmatch(r"(python|nodejs)(\d+(?:\.\d+)?)(?:\.x)?", runtime)
    if match is None or not version or f"{version}.".startswith(f"{match[2]}."):
        return ""
    kind = _KINDS[match[1]]
    setting = match[1].removesuffix("js")
    return (
        f"It is deployed on {runtime} and runs here by {kind} {version} ({program}): what differs between the two "
        f'shows on AWS only. `{setting} = "…"` in its [functions] table names another {kind}.'
    )

"""TypeScript sources of handlers that have no JavaScript yet, and what runs them on this machine.

Node.js itself removes types, if the local one does so without a flag. Otherwise esbuild of the
project makes JavaScript of them in memory. Where the project has both, Node.js runs the sources
that tsconfig.json declares to be written for it, and esbuild all others: Node.js ignores
tsconfig.json, and takes no enums and no imports without a suffix.
https://nodejs.org/api/typescript.html#type-stripping
https://www.typescriptlang.org/tsconfig/#erasableSyntaxOnly

It looks at files, and asks Node.js for its version.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_workers.function import LocalCode
from terralive_workers.node import strips_types, version_of

SUFFIXES: Final = (".ts", ".mts", ".cts", ".tsx")
_CHECK: Final = Path(__file__).parent / "bootstraps" / "node_erasable.mjs"
# A configuration with these is for sources that Node.js runs as they are.
_FOR_NODE: Final = (
    re.compile(rb'"erasableSyntaxOnly"\s*:\s*true'),
    re.compile(rb'"(allowImportingTsExtensions|rewriteRelativeImportExtensions)"\s*:\s*true'),
)
_CHECK_SECONDS: Final = 20


@dataclass(frozen=True, slots=True)
class TypeScript:
    """A handler's TypeScript file, and what runs it.

    Attributes:
        file: the file.
        esbuild: the folder of the package esbuild, if that runs it.
        by_node: whether Node.js itself runs it. Nothing does, if there is no esbuild either.
    """

    file: Path
    esbuild: Path | None = None
    by_node: bool = False

    @property
    def can_run(self) -> bool:
        """Whether something on this machine runs the file."""
        return self.by_node or self.esbuild is not None


def typescript_of(code: LocalCode) -> TypeScript | None:
    """Return the TypeScript of a function's handler; None where its JavaScript runs."""
    if code.command or code.build is not None or not code.runtime.startswith("nodejs"):
        return None
    file = _source(code)
    if file is None:
        return None
    esbuild = _esbuild(file)
    strips = file.suffix != ".tsx" and strips_types(version_of(code.node))
    if strips and (esbuild is None or _is_for_node(file)):
        return TypeScript(file, by_node=True)
    return TypeScript(file, esbuild)


def javascript_files(code: LocalCode) -> list[Path]:
    """Return the files that Node's runtime looks for.

    They are those of `folder/module.function`, and a package of that name.
    """
    stem = _stem(code)
    files = [stem.with_name(stem.name + suffix) for suffix in (".js", ".mjs", ".cjs", "")]
    return [*files, code.path / "node_modules" / stem.name]


def obstacle(typescript: TypeScript, node: Path) -> str:
    """Return what keeps Node.js itself from running a file or what it imports; "" for nothing."""
    try:
        ended = subprocess.run(
            [node, _CHECK, typescript.file],
            capture_output=True,
            text=True,
            check=False,
            timeout=_CHECK_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.strip()


def _stem(code: LocalCode) -> Path:
    """Return the path of the handler's file without its suffix."""
    folder, _, rest = code.handler.rpartition("/")
    return code.path / folder / rest.partition(".")[0]


def _source(code: LocalCode) -> Path | None:
    stem = _stem(code)
    if "." not in code.handler or any(file.exists() for file in javascript_files(code)):
        return None
    for suffix in SUFFIXES:
        file = stem.with_name(stem.name + suffix)
        if file.is_file():
            return file
    return None


def _esbuild(file: Path) -> Path | None:
    """Return the folder of the package esbuild that Node.js would find from a file."""
    for folder in file.parents:
        package = folder / "node_modules" / "esbuild"
        if (package / "package.json").is_file():
            return package
    return None


def _is_for_node(file: Path) -> bool:
    """Tell whether the nearest tsconfig.json says that Node.js itself runs the source."""
    for folder in file.parents:
        try:
            settings = (folder / "tsconfig.json").read_bytes()
        except OSError:
            continue
        return all(setting.search(settings) for setting in _FOR_NODE)
    return False

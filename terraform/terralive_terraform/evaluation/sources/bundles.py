"""Code that a build has made: what it was made of, and the command that makes it.

Source maps: https://tc39.es/ecma426/. Scripts: https://docs.npmjs.com/cli/using-npm/scripts.
"""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import items, parse_object, section, text
from terralive_terraform.evaluation.sources.repository import Repository, is_below

_MAP: Final = re.compile(rb"//[#@] sourceMappingURL=(\S+)\s*$")
_INLINE: Final = b"base64,"
_SCRIPTS: Final = ("build", "bundle", "compile", "package")
_TAIL_BYTES: Final = 4096
_MAX_UP: Final = 4  # folders above the code in which package.json may be


def build_note(repository: Repository, folder: Path, file: Path | None) -> str:
    """Return what a user should know of a folder with built JavaScript; "" for other folders.

    Args:
        repository: the repository.
        folder: the code's folder.
        file: the handler's file in it, where it is known.
    """
    sources = _sources(file) if file is not None else ()
    if not sources and not repository.is_built(file or folder):
        return ""
    package, command = build_command(repository, folder)
    if package is None:
        if not sources:
            return ""
        return f"it is built from {repository.shown(sources[0])}: an edit needs a build"
    source = package / "src"
    if sources:
        source = sources[0].parent
    watch = Path(os.path.relpath(source, folder)).as_posix()
    return f'`{command}` builds it. For live edits, set build = "{command}", watch = ["{watch}/**"]'


def _sources(file: Path) -> tuple[Path, ...]:
    """Return the files that a source map names, without those of packages."""
    try:
        content = file.read_bytes()
    except OSError:
        return ()
    match = _MAP.search(content[-_TAIL_BYTES:])
    where = file.parent
    if match is None and _INLINE not in content:
        document = parse_object(_read(file.with_name(f"{file.name}.map")))
    elif match is not None and not match[1].startswith(b"data:"):
        beside = file.parent / match[1].decode(errors="replace")
        where = beside.parent
        document = parse_object(_read(beside))
    else:
        line = content.rpartition(b"sourceMappingURL=")[2]
        document = parse_object(_decoded(line.partition(_INLINE)[2].strip()))
    where = where / text(document, "sourceRoot")
    found: list[Path] = []
    for source in items(document, "sources"):
        if isinstance(source, str) and "node_modules" not in source:
            path = (where / source).resolve()
            if path.is_file():
                found.append(path)
    # A bundler lists the entry point last.
    return tuple(reversed(found))


def _decoded(content: bytes) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except ValueError:
        return b""


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def build_command(repository: Repository, folder: Path) -> tuple[Path | None, str]:
    """Return the nearest folder whose package.json has a script that builds, and its command.

    The command runs in the repository's topmost folder.
    """
    for above in (folder, *list(folder.parents)[:_MAX_UP]):
        if not is_below(above, repository.top):
            break
        scripts = section(parse_object(_read(above / "package.json")), "scripts")
        for name in _SCRIPTS:
            if text(scripts, name) and above == repository.top:
                return above, f"npm run {name}"
            if text(scripts, name):
                return above, f"npm --prefix {repository.shown(above)} run {name}"
    return None, ""

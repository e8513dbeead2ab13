"""Code that a build has made: what it was made of, and the command that makes it.

Source maps: https://tc39.es/ecma426/.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import items, parse_object, text
from terralive_terraform.evaluation.sources.builds import builder_of, lines
from terralive_terraform.evaluation.sources.repository import Repository, read

_MAP: Final = re.compile(rb"//[#@] sourceMappingURL=(\S+)\s*$")
_INLINE: Final = b"base64,"
_TAIL_BYTES: Final = 4096


def build_note(
    repository: Repository, folder: Path, file: Path | None
) -> tuple[str, tuple[str, ...]]:
    """Return a note about a folder with built JavaScript; "" for other folders.

    With it come the lines of terralive.toml that build the folder after an edit.

    Args:
        repository: the repository.
        folder: the code's folder.
        file: the handler's file in it, where it is known.
    """
    sources = _sources(file) if file is not None else ()
    if not sources and not repository.is_built(file or folder):
        return "", ()
    builder = builder_of(repository, folder)
    if builder is not None:
        settings = lines(repository, builder, folder, sources[:1], is_known=True)
        return f"`{builder.command}` builds it", settings
    if sources:
        return f"it is built from {repository.shown(sources[0])}: an edit needs a build", ()
    return "", ()


def _sources(file: Path) -> tuple[Path, ...]:
    """Return the files that a source map names, without those of packages."""
    try:
        content = file.read_bytes()
    except OSError:
        return ()
    match = _MAP.search(content[-_TAIL_BYTES:])
    where = file.parent
    if match is None and _INLINE not in content:
        document = parse_object(read(file.with_name(f"{file.name}.map")))
    elif match is not None and not match[1].startswith(b"data:"):
        beside = file.parent / match[1].decode(errors="replace")
        where = beside.parent
        document = parse_object(read(beside))
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

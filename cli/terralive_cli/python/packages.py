"""Packages of a repository that an interpreter imports from their source. It only reads.

The packages of a workspace (uv, Poetry, PDM) and other editable installations are in a virtual
environment as the names of their folders, in files `*.pth` or `direct_url.json`:
https://docs.python.org/3/library/site.html,
https://packaging.python.org/en/latest/specifications/direct-url/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from terralive_stub.shared.json_documents import read_object, section, text
from terralive_workers.function import LocalCode


def with_packages(code: LocalCode, top: Path) -> LocalCode:
    """Return code that reloads after an edit of its import roots or of editable packages.

    Args:
        code: the code of a function.
        top: the topmost folder of the repository.
    """
    packages: tuple[Path, ...] = ()
    if code.runtime.startswith("python") and not code.command:
        packages = editable_folders(code.python, top, code.path)
    watched = dict.fromkeys((*code.also_watched, *code.roots, *packages))
    return replace(code, also_watched=tuple(watched))


def editable_folders(python: Path, top: Path, code: Path) -> tuple[Path, ...]:
    """Return the folders of editable packages whose edits have to reload a handler.

    Args:
        python: the interpreter of a virtual environment. For another one, there are none.
        top: the topmost folder of the repository. Folders elsewhere do not count.
        code: the function's code, which is watched anyway. A folder around it does not count: it
            has more than one package.
    """
    environment = python.parent.parent
    if not (environment / "pyvenv.cfg").is_file():
        return ()
    found: set[Path] = set()
    for site in environment.glob("lib/python3.*/site-packages"):
        for folder in (*_of_path_files(site), *_of_direct_urls(site)):
            is_other = not folder.is_relative_to(code) and not code.is_relative_to(folder)
            if is_other and folder.is_relative_to(top) and folder.is_dir():
                found.add(folder)
    return _outermost(found)


def _of_path_files(site: Path) -> Iterator[Path]:
    """Yield the folders that files `*.pth` add to the search path."""
    for file in site.glob("*.pth"):
        for line in file.read_text("utf-8", "replace").splitlines():
            if line.startswith("/"):
                yield Path(line.strip()).resolve()


def _of_direct_urls(site: Path) -> Iterator[Path]:
    """Yield the folders of the projects that are installed as editable ones."""
    for file in site.glob("*.dist-info/direct_url.json"):
        document = read_object(file)
        url = urlsplit(text(document, "url"))
        if section(document, "dir_info").get("editable") is True and url.scheme == "file":
            yield Path(unquote(url.path)).resolve()


def _outermost(folders: Iterable[Path]) -> tuple[Path, ...]:
    """Return the folders that are not below another one of them."""
    several = sorted(folders)
    kept: list[Path] = []
    for folder in several:
        if not any(folder.is_relative_to(other) for other in kept):
            kept.append(folder)
    return tuple(kept)

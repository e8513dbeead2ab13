"""Folders that take the place of `/opt`, made of a function's layers on this machine.

A folder that is a layer as it is takes the place itself, so that stack traces and breakpoints have
the paths of the developer's files, and an edit needs no copy. A file or folder that has another
place in its layer gets a folder with links.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from terralive_workers.function import LayerPart, LocalFunction
from terralive_workers.layers.paths import folders_below

NewFolder: TypeAlias = Callable[[], Path]
_LIBRARIES: Final = "LD_LIBRARY_PATH"
_SHARED_OBJECTS: Final = ("*.so", "*.so.*")


def roots(parts: Sequence[LayerPart], new_folder: NewFolder) -> list[Path]:
    """Return folders that take the place of `/opt`, the one that is searched first first.

    A later layer replaces files of an earlier one, so it is searched first:
    https://docs.aws.amazon.com/lambda/latest/dg/adding-layers.html

    Args:
        parts: what the layers are made of, in their order. What does not exist is left out.
        new_folder: makes an empty folder for links.
    """
    found: list[Path] = []
    existing = [part for part in parts if part.local.exists()]
    for is_file, group in itertools.groupby(existing, _is_file):
        if is_file:
            # Files of one layer belong together: a package may be made of them.
            found.append(_linked(group, new_folder()))
            continue
        for part in group:
            if part.target:
                found.append(_linked([part], new_folder()))
            else:
                found.append(part.local)
    found.reverse()
    return found


def search_paths(function: LocalFunction, new_folder: NewFolder) -> dict[str, list[str]]:
    """Return the folders on this machine that each search path of a worker ends with.

    They are the function's import roots, what its layers have, and the folders of its code that
    have libraries: Lambda's `LD_LIBRARY_PATH` has `/var/task`, `/var/task/lib` and `/opt/lib`
    (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html). Links are followed,
    so that modules have their own paths.

    Args:
        function: the function.
        new_folder: makes an empty folder for links.
    """
    found: dict[str, list[str]] = {}
    if function.roots:
        found["PYTHONPATH"] = [str(root) for root in function.roots]
    found[_LIBRARIES] = [str(function.path), str(function.path / "lib")]
    opt = roots(function.layers, new_folder)
    for name, folders in folders_below(function.runtime).items():
        places = [root / below for below in folders for root in opt]
        existing = [str(place.resolve()) for place in places if place.is_dir()]
        found[name] = [*found.get(name, ()), *existing]
    found[_LIBRARIES] = [item for item in found[_LIBRARIES] if _has_libraries(Path(item))]
    return {name: folders for name, folders in found.items() if folders}


def _has_libraries(folder: Path) -> bool:
    """Tell whether a folder has shared objects for the loader of programs."""
    return any(next(folder.glob(pattern), None) is not None for pattern in _SHARED_OBJECTS)


def _is_file(part: LayerPart) -> bool:
    return part.local.is_file()


def _linked(parts: Iterable[LayerPart], folder: Path) -> Path:
    """Link to parts in a folder; the later one of the same place stays."""
    for part in parts:
        place = folder / part.target
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(part.local)
    return folder

"""Local code of the functions of a plan. It reads files, and changes nothing.

The ways are tried in this order, for each instance of a function:

1. the archive that its zip comes from (`archives`, `packages`);
2. the content of its zip, where that is on this machine (`contents`);
3. the only file of the repository that its handler's name stands for (`by_handler`).

What is not certain is not found: wrong code is worse than none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from terralive_terraform.evaluation.archives import Archive, Archives
from terralive_terraform.evaluation.document import Evaluation
from terralive_terraform.evaluation.functions import PlannedFunction
from terralive_terraform.evaluation.layouts import CodeNotFound, FoundCode, locate
from terralive_terraform.evaluation.repository import Repository

__all__ = ["CodeNotFound", "FoundCode", "find_code"]

_NO_SOURCE: Final = "the plan names no local files that its zip is made of"


def find_code(
    evaluation: Evaluation,
    functions: Iterable[PlannedFunction],
    project: Path,
    *,
    excluded: Collection[Path] = (),
) -> dict[str, FoundCode | CodeNotFound]:
    """Find the local code of functions, by their addresses with instance keys.

    Args:
        evaluation: the plan.
        functions: its functions.
        project: the topmost folder of the repository.
        excluded: folders that are not the team's.
    """
    repository = Repository(project, excluded)
    archives = Archives(evaluation, repository)
    return {function.address: _find(function, archives) for function in functions}


def _find(function: PlannedFunction, archives: Archives) -> FoundCode | CodeNotFound:
    if function.package_type == "Image":
        return CodeNotFound("it is a container image")
    found = [_of_archive(function, archive) for archive in archives.of(function)]
    certain = {item.path: item for item in found if isinstance(item, FoundCode)}
    if len(certain) == 1:
        return next(iter(certain.values()))
    for item in found:
        if isinstance(item, CodeNotFound):
            return item
    return CodeNotFound(_NO_SOURCE)


def _of_archive(function: PlannedFunction, archive: Archive) -> FoundCode | CodeNotFound:
    located = locate(archive.entries, function.handler, function.runtime)
    if located is None:
        names = ", ".join(archive.missing)
        return CodeNotFound(
            f"no file of the repository has the content of {names} in {archive.shown}"
        )
    return FoundCode(located.path, archive.shown, located.handler, archive.note)

"""Functions that share a zip, and folders that are the code of one zip only. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.evaluation.sources.contents import Package
from terralive_terraform.evaluation.sources.layouts import CodeNotFound, FoundCode


@dataclass(frozen=True, slots=True)
class UnknownCode:
    """A function whose package does not tell its code.

    Attributes:
        reason: why.
        zips: the files that its zip comes from.
        package: the content of its zip, where it is known and of no folder of the repository.
        is_placeholder: whether its zip only stands in for code that a pipeline deploys.
        placeholder: the folder of that placeholder, where it is a file of the repository.
        settings: the lines of terralive.toml that would build its code.
    """

    reason: str
    zips: tuple[Path, ...] = ()
    package: Package | None = None
    is_placeholder: bool = False
    placeholder: FoundCode | None = None
    settings: tuple[str, ...] = ()

    def zip_of(self, function: PlannedFunction) -> tuple[str, str]:
        """Return what tells the code of a function from that of others."""
        if self.is_placeholder:
            return ("", function.name or function.address)
        return zip_of(function)


def zip_of(function: PlannedFunction) -> tuple[str, str]:
    """Return what tells the zip of a function from those of others."""
    if function.filename is not None:
        return ("file", str(function.filename))
    if function.s3_key is not None:
        # Every region has a bucket of its own.
        return ("object", function.s3_key)
    return ("", function.name or function.address)


def zips_by_handler(
    functions: Iterable[PlannedFunction], found: Mapping[str, FoundCode | CodeNotFound]
) -> dict[tuple[Path, str | None], set[tuple[str, str]]]:
    """Return the zips that have the handler in a folder, by the folder and the handler."""
    zips: dict[tuple[Path, str | None], set[tuple[str, str]]] = {}
    for function in functions:
        code = found.get(function.address)
        if isinstance(code, FoundCode):
            zips.setdefault((code.path, function.handler), set()).add(zip_of(function))
    return zips


def taken_folders(
    zips: Mapping[tuple[Path, str | None], set[tuple[str, str]]],
    handler: str | None,
    own: tuple[str, str],
) -> set[Path]:
    """Return the folders in which a handler's file is the code of other zips only."""
    taken: set[Path] = set()
    for (folder, other_handler), several in zips.items():
        if other_handler == handler and own not in several:
            taken.add(folder)
    return taken


def without_shared_evidence(
    functions: Iterable[PlannedFunction],
    found: Mapping[str, FoundCode | CodeNotFound],
    named: Collection[str],
) -> dict[str, CodeNotFound]:
    """Return the functions of several zips whose code was found by the same evidence.

    For example, one build that several functions depend on is the build of only one of them.

    Args:
        functions: the functions.
        found: their code.
        named: the addresses of the functions whose code was found by what their zip depends on.
    """
    zips: dict[tuple[str, Path, str | None], dict[str, tuple[str, str]]] = {}
    for function in functions:
        code = found.get(function.address)
        if isinstance(code, FoundCode) and function.address in named:
            key = (code.found_by, code.path, function.handler)
            zips.setdefault(key, {})[function.address] = zip_of(function)
    refused: dict[str, CodeNotFound] = {}
    for (found_by, _, _), several in zips.items():
        if len(set(several.values())) > 1:
            reason = f"{found_by} is the code of only one of several zips, and nothing tells which"
            refused.update(dict.fromkeys(several, CodeNotFound(reason)))
    return refused


def without_shared_typescript(
    functions: Iterable[PlannedFunction], found: Mapping[str, FoundCode | CodeNotFound]
) -> dict[str, CodeNotFound]:
    """Return the functions of several zips that would have the same TypeScript, without it."""
    sources: dict[str, dict[str, tuple[str, str]]] = {}
    for function in functions:
        code = found.get(function.address)
        if isinstance(code, CodeNotFound) and code.typescript is not None:
            several = sources.setdefault(code.typescript.found_by, {})
            several[function.address] = zip_of(function)
    refused: dict[str, CodeNotFound] = {}
    for several in sources.values():
        if len(set(several.values())) < 2:  # noqa: PLR2004  # one zip
            continue
        for address in several:
            code = found[address]
            if isinstance(code, CodeNotFound):
                refused[address] = replace(code, typescript=None)
    return refused

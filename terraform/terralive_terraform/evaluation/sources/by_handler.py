"""The folder of a repository in which the file of a function's handler is.

Where several folders have such a file, the function's zip, its name and its place in the
configuration have to tell one of them. Otherwise none is chosen.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final

from terralive_terraform.addresses import instance_key, without_keys
from terralive_terraform.evaluation.document import call_names
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.evaluation.sources.handlers import (
    handler_files,
    mentions,
    source_files,
)
from terralive_terraform.evaluation.sources.repository import Repository, is_below

# Names of folders that say nothing about the function in them.
_GENERAL: Final = frozenset(
    {"app", "code", "function", "functions", "handler", "handlers", "lambda", "lambdas", "src"}
)
# Names of the folders that configurations are in, beside the code.
_CONFIGURATIONS: Final = frozenset(
    {
        "aws",
        "deploy",
        "deployment",
        "dev",
        "development",
        "env",
        "environments",
        "envs",
        "iac",
        "infra",
        "infrastructure",
        "live",
        "prod",
        "production",
        "stage",
        "staging",
        "terraform",
        "test",
        "tf",
    }
)
_MIN_NAME: Final = 3  # characters of a name that tells a function from another one


@dataclass(frozen=True, slots=True)
class Candidate:
    """A folder with a handler's file.

    Attributes:
        folder: the folder.
        file: the handler's file in it.
    """

    folder: Path
    file: Path


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidate that is certain, if there is one.

    Attributes:
        chosen: the certain candidate; None where there is none.
        why: why it is certain, where there are several; "" otherwise.
        candidates: all candidates.
    """

    chosen: Candidate | None
    why: str
    candidates: tuple[Candidate, ...]


class HandlerFiles:
    """The files of a repository that handlers' names stand for.

    Args:
        repository: the repository.
        directory: the folder of the root module.
        modules: the folders of the modules that it calls.
    """

    def __init__(self, repository: Repository, directory: Path, modules: Collection[Path]) -> None:
        self._repository = repository
        self._directory = directory
        self._modules = frozenset(modules)
        # Candidates by handler and runtime: functions often have the same.
        self._found: dict[tuple[str, str], tuple[Candidate, ...]] = {}

    def candidates(
        self, function: PlannedFunction, *, taken: Collection[Path] = ()
    ) -> tuple[Candidate, ...]:
        """Return the folders with a handler's file.

        Tests, layers and builds count where there are no others.

        Args:
            function: the function.
            taken: the folders that are the code of functions with other zips.
        """
        key = (function.handler or "", function.runtime or "")
        if key not in self._found:
            self._found[key] = tuple(self._search(function))
        several = [item for item in self._found[key] if item.folder not in taken]
        for is_less in (self._repository.is_aside, self._repository.is_built):
            others = [item for item in several if not is_less(item.folder)]
            several = others or several
        return tuple(several)

    def typescript(self, function: PlannedFunction) -> tuple[Path, ...]:
        """Return the TypeScript files that a handler's file may be built from."""
        found: list[Path] = []
        for name in source_files(function.handler, function.runtime):
            for path in self._repository.files_named(PurePosixPath(name).name):
                is_aside = self._repository.is_aside(path)
                if not is_aside and not self._is_of_another_configuration(path.parent):
                    found.append(path)
        return tuple(found)

    def _is_of_another_configuration(self, folder: Path) -> bool:
        """Tell whether a folder is in a project with a configuration that is not evaluated."""
        for above in (folder, *folder.parents):
            if above == self._repository.top or is_below(self._directory, above):
                return False
            configured = [above, *(above / name for name in _CONFIGURATIONS)]
            if not self._modules.isdisjoint(configured):
                return False
            if any(self._repository.has_configuration(item) for item in configured):
                return True
        return False

    def _search(self, function: PlannedFunction) -> Iterator[Candidate]:
        folders: set[Path] = set()
        for name in handler_files(function.handler, function.runtime):
            parts = PurePosixPath(name).parts
            for path in self._repository.files_named(parts[-1]):
                folder = path.parents[len(parts) - 1]
                if path.parts[-len(parts) :] != parts or folder in folders:
                    continue
                if self._is_of_another_configuration(folder):
                    continue
                is_program = name == "bootstrap"
                content = self._repository.content(path)
                if is_program or mentions(function.handler or "", content, function.runtime):
                    folders.add(folder)
                    yield Candidate(folder, path)


def choose(
    function: PlannedFunction,
    candidates: tuple[Candidate, ...],
    zips: Collection[Path],
    directory: Path,
) -> Choice:
    """Choose the certain one of several candidates.

    Args:
        function: the function.
        candidates: the folders with its handler's file.
        zips: the files that its zip comes from.
        directory: the folder of the root module.
    """
    by_folder = {item.folder: item for item in candidates}
    for file in zips:
        for folder in (file.parent / file.stem, file.parent):
            if folder in by_folder:
                return Choice(by_folder[folder], f"beside {file.name}", candidates)
    if len(candidates) == 1:
        return Choice(candidates[0], "", candidates)
    named = _named(function, candidates, zips)
    if named is not None:
        return Choice(named, f"named like {function.name or function.address}", candidates)
    for scope in (*_zip_scopes(zips, directory), _project(directory)):
        near = [item for item in candidates if is_below(item.folder, scope)]
        if len(near) == 1:
            return Choice(near[0], f"the only one in {scope.name}", candidates)
    return Choice(None, "", candidates)


def _zip_scopes(zips: Collection[Path], directory: Path) -> Iterator[Path]:
    """Yield the folders around each zip that the configuration is not in, the nearest first."""
    for file in zips:
        for folder in file.parents:
            if is_below(directory, folder):
                break
            yield folder


def _project(directory: Path) -> Path:
    """Return the folder of the project that a configuration belongs to."""
    while directory.name.lower() in _CONFIGURATIONS:
        directory = directory.parent
    return directory


def _named(
    function: PlannedFunction, candidates: tuple[Candidate, ...], zips: Collection[Path]
) -> Candidate | None:
    """Return the one candidate whose folder has a name of the function, or the longest part.

    Where several have the same, the names of the folders around them tell the one.
    """
    names = [words for words in map(_words, _names(function, zips)) if words]
    scores: dict[tuple[int, int], list[Candidate]] = {}
    for item in candidates:
        inner, *outer = _telling_names(item.folder)
        length = _matched(inner, names)
        if length >= _MIN_NAME:
            around = sum(_matched(name, names) for name in outer)
            scores.setdefault((length, around), []).append(item)
    if not scores:
        return None
    best = scores[max(scores)]
    if len(best) != 1:
        return None
    return best[0]


def _matched(folder: str, names: Iterable[tuple[str, ...]]) -> int:
    """Return the length of a folder's name in characters if it is part of a name, else 0."""
    words = _telling_words(folder)
    if words and any(_contains(name, words) for name in names):
        return sum(len(word) for word in words)
    return 0


def _names(function: PlannedFunction, zips: Collection[Path]) -> Iterator[str]:
    yield function.name or ""
    yield without_keys(function.address).rpartition(".")[2]
    yield from call_names(function.module)
    yield instance_key(function.address)
    yield instance_key(function.module)
    for file in zips:
        yield file.stem
    yield from PurePosixPath(function.s3_key or "").parts


@lru_cache(maxsize=4096)
def _telling_words(folder: str) -> tuple[str, ...]:
    """Return the words of a folder's name that tell something: not `src` of `sorter_src`."""
    return tuple(word for word in _words(folder) if word not in _GENERAL)


@lru_cache(maxsize=4096)
def _telling_names(folder: Path) -> tuple[str, ...]:
    """Return the names of a folder and those around it that tell something, the inner first."""
    names = [part for part in reversed(folder.parts) if part.lower() not in _GENERAL]
    return tuple(names) or ("",)


def _words(name: str) -> tuple[str, ...]:
    """Return the words of a name: `list`, `orders` of `list-orders` and `listOrders`."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return tuple(re.findall(r"[a-z0-9]+", spaced.lower()))


def _contains(name: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """Tell whether words stand beside each other in a name."""
    count = len(words)
    return any(name[at : at + count] == words for at in range(len(name) - count + 1))


def with_named_handler(function: PlannedFunction, files: HandlerFiles) -> PlannedFunction:
    """Return a function with the handler that a variable names for one that a layer has.

    A layer may have a handler that no file of the repository has, and that nobody builds.
    """
    has_layers = "layers" in function.is_set | function.unknown
    if function.wrapped_handler or not has_layers or files.candidates(function):
        return function
    if files.typescript(function):
        return function
    known: set[str] = set()
    for handler in function.named_handlers:
        if files.candidates(replace(function, handler=handler)):
            known.add(handler)
    if len(known) != 1:
        return function
    return replace(function, wrapped_handler=known.pop())

"""Local code of the functions of a plan. It reads files, and changes nothing.

The ways are tried in this order, for each instance of a function:

1. the archive or package that its zip is, by what the plan says that it is made of (`archives`,
   `packages`);
2. the content of its zip, where that is on this machine (`contents`);
3. the only file of the repository that its handler's name stands for (`by_handler`).

What is not certain is not found: wrong code is worse than none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from terralive_terraform.evaluation.document import Evaluation
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.evaluation.shared_zips import (
    UnknownCode,
    taken_folders,
    without_shared_evidence,
    without_shared_typescript,
    zips_by_handler,
)
from terralive_terraform.evaluation.sources.archives import Archive, Archives
from terralive_terraform.evaluation.sources.builds import build_lines, builder_of
from terralive_terraform.evaluation.sources.bundles import build_note
from terralive_terraform.evaluation.sources.by_handler import (
    Candidate,
    Choice,
    HandlerFiles,
    choose,
    with_named_handler,
)
from terralive_terraform.evaluation.sources.contents import (
    cdktf_asset,
    copied_from,
    is_placeholder,
    read_zip,
    sources_of,
)
from terralive_terraform.evaluation.sources.handlers import (
    handler_files,
    is_interpreted,
    is_javascript,
    suffixes,
)
from terralive_terraform.evaluation.sources.layouts import (
    CodeNotFound,
    FoundCode,
    Located,
    elsewhere,
    locate,
)
from terralive_terraform.evaluation.sources.packages import Packages
from terralive_terraform.evaluation.sources.repository import Repository, is_below
from terralive_terraform.evaluation.sources.unbuilt import Unbuilt
from terralive_terraform.missing_builds.marks import NOT_BUILT

__all__ = ["CodeNotFound", "FoundCode", "find_code"]

NO_WORDS: Final[Mapping[str, Sequence[str]]] = {}
_MAX_SHOWN: Final = 5  # files that a reason lists

_Found = dict[str, FoundCode | CodeNotFound]


def find_code(
    evaluation: Evaluation,
    functions: Iterable[PlannedFunction],
    top: Path,
    *,
    project: Path | None = None,
    words: Mapping[str, Sequence[str]] = NO_WORDS,
    excluded: Collection[Path] = (),
) -> dict[str, FoundCode | CodeNotFound]:
    """Find the local code of functions, by their addresses with instance keys.

    Args:
        evaluation: the plan.
        functions: its functions.
        top: the topmost folder of the repository.
        project: the folder that commands run in and that paths are shown from; None for `top`.
        words: words of resources in the configuration's files, by their addresses without keys.
        excluded: folders that are not the team's.
    """
    finder = _Finder(evaluation, Repository(top, excluded, project), words)
    several = tuple(finder.unwrapped(function) for function in functions)
    found: _Found = {}
    unknown: dict[str, UnknownCode] = {}
    for function in several:
        code = finder.by_package(function)
        if isinstance(code, UnknownCode):
            unknown[function.address] = code
        else:
            found[function.address] = code
    found.update(without_shared_evidence(several, found, finder.named))
    # A folder that is certainly the code of one zip is not taken for the code of another one.
    remaining = [function for function in several if function.address in unknown]
    zips = zips_by_handler(several, found)
    guessed: _Found = {}
    for function in remaining:
        own = unknown[function.address].zip_of(function)
        taken = taken_folders(zips, function.handler, own)
        guessed[function.address] = finder.by_handler(function, unknown[function.address], taken)
    found.update(_without_shared(remaining, unknown, guessed))
    found.update(without_shared_typescript(several, found))
    return {item.address: _with_wrapped(item, found[item.address]) for item in several}


def _with_wrapped(
    function: PlannedFunction, code: FoundCode | CodeNotFound
) -> FoundCode | CodeNotFound:
    """Return code with the handler that runs here, where a layer's handler calls it on AWS."""
    if function.wrapped_handler is None or isinstance(code, CodeNotFound):
        return code
    note = code.note or "a layer's handler calls it on AWS, and does not run here"
    return replace(code, handler=code.handler or function.wrapped_handler, note=note)


class _Finder:
    """Finds the code of one function after the other, in the same plan and repository."""

    def __init__(
        self, evaluation: Evaluation, repository: Repository, words: Mapping[str, Sequence[str]]
    ) -> None:
        self._directory = evaluation.directory.resolve()
        self._repository = repository
        self._archives = Archives(evaluation, repository)
        self._packages = Packages(evaluation, repository, words)
        self._handler_files = HandlerFiles(repository, self._directory, evaluation.module_folders())
        # The functions whose code was found by what their zip depends on.
        self.named: set[str] = set()
        self._unbuilt = Unbuilt(repository, self._handler_files, self._directory)

    def unwrapped(self, function: PlannedFunction) -> PlannedFunction:
        """Return a function with the team's own handler, where a layer's handler calls it."""
        return with_named_handler(function, self._handler_files).unwrapped()

    def by_package(self, function: PlannedFunction) -> FoundCode | CodeNotFound | UnknownCode:
        """Find the code by the function's package."""
        if function.package_type == "Image":
            return CodeNotFound("it is a container image")
        zips = self._archives.zips(function)
        archives = self._archives.of(function)
        package = self._packages.of(function, zips)
        if package is not None:
            archives = (*archives, package)
        code = self._of_archives(function, archives)
        named = self._packages.named(function)
        if code is None and named is not None:
            code = self._of_archives(function, (named,))
            self.named.add(function.address)
        if code is not None:
            return self._unless_placeholder(function, code, zips)
        unknown: UnknownCode | None = None
        for file in zips:
            of_zip = self._of_zip(function, file, zips)
            if isinstance(of_zip, FoundCode):
                return of_zip
            unknown = unknown or of_zip
        if unknown is None or archives:
            without = self._without_handler(function, archives)
            return without or self._not_in(archives, function, zips)
        return unknown

    def by_handler(
        self, function: PlannedFunction, unknown: UnknownCode, taken: Collection[Path]
    ) -> FoundCode | CodeNotFound:
        """Find the code by the files that the handler's name stands for.

        Args:
            function: the function.
            unknown: what its package tells.
            taken: folders that are the code of other zips.
        """
        names = handler_files(function.handler, function.runtime)
        if not names:
            return CodeNotFound(unknown.reason)
        candidates = self._handler_files.candidates(function, taken=taken)
        if unknown.is_placeholder:
            candidates = tuple(item for item in candidates if not self._is_stand_in(item.file))
        choice = choose(function, candidates, unknown.zips, self._directory)
        if choice.chosen is not None and not self._has_rivals(function, choice):
            return self._of_choice(function, choice.chosen, choice.why, unknown)
        if candidates:
            files = self._listed([item.file for item in candidates])
            return CodeNotFound(
                f"{unknown.reason}, and several files may have its handler: {files}",
                unknown.settings,
            )
        unbuilt = self._unbuilt.of_handler(function, unknown.zips, unknown.reason)
        reason = f"{unknown.reason}, and no {names[0]} in the repository has its handler"
        return unbuilt or unknown.placeholder or CodeNotFound(reason, unknown.settings)

    def _of_choice(
        self, function: PlannedFunction, chosen: Candidate, why: str, unknown: UnknownCode
    ) -> FoundCode | CodeNotFound:
        """Return the code of the only certain file, unless the function's package is of another."""
        package = unknown.package
        if package is not None and not package.is_made_of(self._repository.content(chosen.file)):
            return CodeNotFound(unknown.reason)
        found_by = f"handler {self._repository.shown(chosen.file)}"
        if why:
            found_by = f"{found_by}, {why}"
        return self._found(function, Located(chosen.folder, file=chosen.file), found_by)

    def _unless_placeholder(
        self, function: PlannedFunction, code: FoundCode, zips: tuple[Path, ...]
    ) -> FoundCode | UnknownCode:
        """Return code, unless it is a file that stands in for what a pipeline deploys."""
        for name in handler_files(code.handler or function.handler, function.runtime):
            if self._is_stand_in(code.path / name):
                reason = f"{code.found_by} has only a placeholder"
                return UnknownCode(reason, zips, is_placeholder=True, placeholder=code)
        return code

    def _is_stand_in(self, file: Path) -> bool:
        """Tell whether a file is a placeholder by its path and by its content."""
        if not is_placeholder(self._repository.shown(file), b""):
            return False
        return file.is_file() and is_placeholder("", self._repository.content(file))

    def _has_rivals(self, function: PlannedFunction, choice: Choice) -> bool:
        """Tell whether a handler may be built of TypeScript elsewhere, and no name tells."""
        if choice.chosen is None or choice.why:
            return False
        builder = builder_of(self._repository, choice.chosen.folder)
        for file in self._handler_files.typescript(function):
            if builder is None or not is_below(file, builder.folder):
                return True
        return False

    def _of_archives(
        self, function: PlannedFunction, archives: Collection[Archive]
    ) -> FoundCode | None:
        """Return the code of archives that have the handler's file, if they agree on its folder."""
        found: dict[Path, FoundCode] = {}
        has_file = bool(handler_files(function.handler, function.runtime))
        for archive in archives:
            located = locate(archive.entries, function.handler, function.runtime)
            if located is None:
                continue
            if located.file is None and has_file and not self._is_complete(function, located.path):
                continue
            note = archive.note
            others = elsewhere(archive.entries, located.path)
            if others and not note:
                note = f"its package also has {self._listed(others)}, which is not in that folder"
            code = self._found(function, located, archive.shown, note)
            found.setdefault(code.path, code)
        if len(found) != 1:
            return None
        return next(iter(found.values()))

    def _is_complete(self, function: PlannedFunction, folder: Path) -> bool:
        """Tell whether a folder without the handler's file has the function's code all the same.

        A layer may have the handler: https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html
        """
        if self._repository.is_built(folder):
            return False
        return any(
            next(folder.glob(f"*{suffix}"), None) is not None
            for suffix in suffixes(function.runtime)
        )

    def _without_handler(
        self, function: PlannedFunction, archives: Collection[Archive]
    ) -> FoundCode | CodeNotFound | None:
        """Return an archive's folder without the handler's file, or what would build it there.

        The folder counts where it has the handler's TypeScript, or no other folder has its file.
        """
        for archive in archives:
            located = locate(archive.entries, function.handler, function.runtime)
            if located is None:
                continue
            if not archive.missing:
                unbuilt = self._unbuilt.of_folder(function, located.path, archive.shown)
                if unbuilt is not None:
                    return unbuilt
            is_source = self._unbuilt.is_typescript(function, located.path)
            is_only = located.path.is_dir() and not self._handler_files.candidates(function)
            if is_source or is_only:
                return self._found(function, located, archive.shown, archive.note)
        return None

    def _of_zip(
        self, function: PlannedFunction, file: Path, zips: tuple[Path, ...]
    ) -> FoundCode | UnknownCode | None:
        """Return the code that a zip contains; None where the zip tells nothing."""
        package = read_zip(file, function)
        if package is None or package.handler_file is None:
            return None
        shown = self._repository.shown(file)
        if is_placeholder(shown, package.content):
            return UnknownCode(f"{shown} has only a placeholder", zips, is_placeholder=True)
        located = self._only(function, sources_of(package, function, self._repository), file)
        if located is not None:
            return self._found(function, located, f"content of {cdktf_asset(file) or shown}")
        return UnknownCode(f"no folder of the repository has the files of {shown}", zips, package)

    def _only(
        self, function: PlannedFunction, several: Collection[Located], file: Path
    ) -> Located | None:
        """Return the certain one of the folders with a zip's files, by their names and places."""
        by_folder = {item.path: item for item in several}
        candidates = tuple(
            Candidate(item.path, item.file) for item in several if item.file is not None
        )
        chosen = choose(function, candidates, (file,), self._directory).chosen
        if chosen is None:
            return None
        return by_folder[chosen.folder]

    def _found(
        self, function: PlannedFunction, located: Located, found_by: str, note: str = ""
    ) -> FoundCode:
        path, file = located.path, located.file
        if file is not None and located.handler is None and is_interpreted(function.runtime):
            if self._repository.is_built(path):
                source = copied_from(path, file, self._repository)
                if source is not None:
                    found_by = f"{found_by}, copied from {self._repository.shown(source)}"
                    path = source
        settings: tuple[str, ...] = ()
        if not note and is_javascript(function.runtime):
            note, settings = build_note(self._repository, path, file)
        if not note and ".terraform" in path.parts:
            note = "Terraform has downloaded it: `terraform init` may overwrite edits"
        return FoundCode(path, found_by, located.handler, note, settings)

    def _not_in(
        self, archives: Collection[Archive], function: PlannedFunction, zips: tuple[Path, ...]
    ) -> UnknownCode | CodeNotFound:
        """Return why archives do not tell a function's code."""
        names = handler_files(function.handler, function.runtime)
        for archive in archives:
            if NOT_BUILT in archive.missing.values():
                # The configuration names the code itself, so no other file is a candidate.
                return CodeNotFound(f"a file that {archive.shown} is made of does not exist")
            texts = [archive.missing[name] for name in names if name in archive.missing]
            if any(
                not is_placeholder(archive.shown, text.encode(errors="replace")) for text in texts
            ):
                return CodeNotFound(
                    f"the configuration itself makes {names[0]} of {archive.shown} (a text or a "
                    "template), and no file in the repository has the same text"
                )
            if archive.missing:
                return UnknownCode(
                    f"{archive.shown} has only a placeholder", zips, is_placeholder=True
                )
            for entry in archive.entries:
                if not entry.local.exists():
                    shown = self._repository.shown(entry.local)
                    reason = f"{archive.shown} is made of {shown}, which does not exist"
                    settings = build_lines(self._repository, entry.folder)
                    return UnknownCode(reason, zips, settings=settings)
            return UnknownCode(
                f"what {archive.shown} is made of has no file with its handler", zips
            )
        reason = "the plan does not name its source"
        missing = [file for file in zips if not file.exists()]
        if missing:
            reason = f"{self._repository.shown(missing[0])} does not exist"
        return UnknownCode(reason, zips)

    def _listed(self, files: Sequence[Path]) -> str:
        shown = [self._repository.shown(file) for file in files[:_MAX_SHOWN]]
        if len(files) > _MAX_SHOWN:
            shown.append("…")
        return ", ".join(shown)


def _without_shared(
    functions: Iterable[PlannedFunction], unknown: Mapping[str, UnknownCode], guessed: _Found
) -> _Found:
    """Return what was found by handler, without files that would be in several zips."""
    zips: dict[tuple[Path, str], set[tuple[str, str]]] = {}
    several = tuple(functions)
    for function in several:
        code = guessed[function.address]
        if isinstance(code, FoundCode):
            key = (code.path, function.handler or "")
            zips.setdefault(key, set()).add(unknown[function.address].zip_of(function))
    certain: _Found = {}
    for function in several:
        code = guessed[function.address]
        if isinstance(code, FoundCode) and len(zips[code.path, function.handler or ""]) > 1:
            code = CodeNotFound(
                f"{unknown[function.address].reason}, and other functions with other code would "
                f"have the same {code.found_by}"
            )
        certain[function.address] = code
    return certain

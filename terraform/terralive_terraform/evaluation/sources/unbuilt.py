"""Functions whose source is in the repository, and whose code is not built yet.

terralive runs no build that the user has not agreed to. The reason has the lines of terralive.toml
with which terralive builds them, and the TypeScript that may run as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.evaluation.sources.builds import (
    Builder,
    builder_of,
    go_builder,
    lines,
)
from terralive_terraform.evaluation.sources.by_handler import Candidate, HandlerFiles, choose
from terralive_terraform.evaluation.sources.handlers import (
    handler_files,
    is_custom,
    is_javascript,
    mentions,
    renamed,
    source_files,
)
from terralive_terraform.evaluation.sources.layouts import CodeNotFound, FoundCode
from terralive_terraform.evaluation.sources.repository import BUILT, Repository, is_below

# https://www.cargo-lambda.info/commands/build.html
_CARGO_BUILD: Final = "cargo lambda build --release"
_CARGO_OUTPUT: Final = ("target", "lambda")


class Unbuilt:
    """Finds what builds a function's code.

    Args:
        repository: the repository.
        files: its files by handler.
        directory: the folder of the root module.
    """

    def __init__(self, repository: Repository, files: HandlerFiles, directory: Path) -> None:
        self._repository = repository
        self._files = files
        self._directory = directory

    def of_folder(self, function: PlannedFunction, folder: Path, shown: str) -> CodeNotFound | None:
        """Return the reason of a function whose archive is made of a folder without its code.

        Args:
            function: the function.
            folder: the folder.
            shown: the name of the archive in messages.
        """
        names = handler_files(function.handler, function.runtime)
        builder: Builder | None = None
        sources: list[Path] = []
        typescript: FoundCode | None = None
        if is_custom(function.runtime):
            builder, sources = self._of_program(function, (folder / "code.zip",), folder)
        elif is_javascript(function.runtime):
            builder = builder_of(self._repository, folder)
            typescript = self._of_typescript(function, folder, builder)
        if builder is None:
            return None
        inside = builder.folder
        if any(is_below(item.folder, inside) for item in self._files.candidates(function)):
            # The source is JavaScript, too, and runs as it is.
            return None
        reason = (
            f"{shown} is made of {self._repository.shown(folder)}, which has no {names[0]} yet: "
            f"`{builder.command}` may build it"
        )
        settings = lines(self._repository, builder, folder, sources, is_known=False)
        return CodeNotFound(reason, settings, typescript)

    def is_typescript(self, function: PlannedFunction, folder: Path) -> bool:
        """Tell whether the file of a function's handler is in a folder, as TypeScript."""
        names = source_files(function.handler, function.runtime)
        return any((folder / name).is_file() for name in names)

    def of_handler(
        self, function: PlannedFunction, zips: Collection[Path], reason: str
    ) -> CodeNotFound | None:
        """Return the reason of a function that is built of TypeScript, Go or Rust.

        Args:
            function: the function.
            zips: the files that its zip comes from.
            reason: why its package does not tell its code.
        """
        if is_custom(function.runtime):
            return self._of_custom(function, zips, reason)
        several = tuple(self._typescript(function, zips))
        if not several:
            return None
        chosen = choose(function, several, zips, self._directory).chosen
        builder = None
        if chosen is not None:
            builder = builder_of(self._repository, chosen.folder)
        shown = [self._repository.shown(item.file) for item in several]
        if chosen is not None:
            shown = [self._repository.shown(chosen.file)]
        text = f"{reason}, and the TypeScript of its handler is not built: {', '.join(shown[:5])}"
        typescript = self._source(function, chosen)
        if chosen is None or builder is None:
            return CodeNotFound(text, typescript=typescript)
        folder = _code_folder(builder, function)
        settings = lines(self._repository, builder, folder, [chosen.file], is_known=False)
        return CodeNotFound(f"{text}. `{builder.command}` may build it", settings, typescript)

    def _of_typescript(
        self, function: PlannedFunction, folder: Path, builder: Builder | None
    ) -> FoundCode | None:
        """Return the TypeScript from which a build makes a folder, where that is certain."""
        if self.is_typescript(function, folder):
            return FoundCode(folder, f"TypeScript in {self._repository.shown(folder)}")
        zips = (folder / "code.zip",)
        several = tuple(self._typescript(function, zips))
        if builder is not None:
            several = tuple(item for item in several if is_below(item.file, builder.folder))
        return self._source(function, choose(function, several, zips, self._directory).chosen)

    def _source(self, function: PlannedFunction, chosen: Candidate | None) -> FoundCode | None:
        """Return a TypeScript file as the code of a function; None where it has no such handler.

        The code's folder is the one of its package, which has the files that it imports.
        """
        if chosen is None or not self._has_handler(function, chosen.file):
            return None
        folder = chosen.folder
        for above in (chosen.folder, *chosen.folder.parents):
            if not is_below(above, self._repository.top):
                break
            if (above / "package.json").is_file():
                folder = above
                break
        file = chosen.file.relative_to(folder).as_posix()
        own = renamed(function.handler or "", function.runtime, file)
        return FoundCode(folder, f"TypeScript {self._repository.shown(chosen.file)}", own)

    def _typescript(self, function: PlannedFunction, zips: Collection[Path]) -> Iterator[Candidate]:
        """Yield the TypeScript that a handler may be made of, by its file's name or its zip's.

        Files without its function count where no file has it.
        """
        found = self._files.typescript(function)
        if not found and is_javascript(function.runtime):
            for file in zips:
                found = self._repository.files_named(f"{file.stem}.ts")
        exporting = tuple(file for file in found if self._has_handler(function, file))
        for file in exporting or found:
            yield Candidate(file.parent, file)

    def _has_handler(self, function: PlannedFunction, file: Path) -> bool:
        content = self._repository.content(file)
        return mentions(function.handler or "", content, function.runtime)

    def _of_custom(
        self, function: PlannedFunction, zips: Collection[Path], reason: str
    ) -> CodeNotFound | None:
        for file in zips:
            folder = file.parent / file.stem
            if file.parent.parts[-3:-1] == _CARGO_OUTPUT:
                folder = file.parent
            builder, sources = self._of_program(function, (file,), folder)
            if builder is not None:
                shown = self._repository.shown(sources[0])
                return CodeNotFound(
                    f"{reason}, and its program is not built: {shown}",
                    lines(self._repository, builder, folder, sources, is_known=False),
                )
        return None

    def _of_program(
        self, function: PlannedFunction, zips: Collection[Path], output: Path
    ) -> tuple[Builder | None, list[Path]]:
        """Return the build of a Go or Rust program, and its source files."""
        cargo = self._of_cargo(output)
        if cargo is not None:
            return cargo, [cargo.folder / "src" / "main.rs"]
        programs: list[Candidate] = []
        for file in self._repository.files_named("main.go"):
            content = self._repository.content(file)
            if b"package main" in content and b"aws-lambda-go" in content:
                programs.append(Candidate(file.parent, file))
        chosen = choose(function, tuple(programs), zips, self._directory).chosen
        if chosen is None:
            return None, []
        return go_builder(self._repository, chosen.folder, output), [chosen.file]

    def _of_cargo(self, output: Path) -> Builder | None:
        """Return the build of Cargo Lambda, which writes to `target/lambda/NAME`."""
        if output.parts[-3:-1] != _CARGO_OUTPUT:
            return None
        folder = output.parents[2]
        if not (folder / "Cargo.toml").is_file():
            return None
        command = _CARGO_BUILD
        if folder != self._repository.project:
            command = f"cd {self._repository.shown(folder)} && {command}"
        return Builder(folder, command, output)


def _code_folder(builder: Builder, function: PlannedFunction) -> Path | None:
    """Return the folder in which a handler's file is after a build."""
    first, *more = PurePosixPath(handler_files(function.handler, function.runtime)[0]).parts
    if builder.output is None:
        if more and first in BUILT:
            return builder.folder
        return None
    if more and first == builder.output.name:
        return builder.output.parent
    return builder.output

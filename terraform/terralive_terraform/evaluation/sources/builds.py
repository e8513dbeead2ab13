"""Builds that a repository describes: their commands, their sources and what they write.

It reads files, and runs nothing.
Scripts: https://docs.npmjs.com/cli/using-npm/scripts. Output: https://esbuild.github.io/api/,
https://www.typescriptlang.org/tsconfig/#outDir, https://pkg.go.dev/cmd/go.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import parse_object, section, text
from terralive_terraform.evaluation.sources.repository import Repository, is_below, read

_SCRIPTS: Final = ("build", "bundle", "compile", "package")
_TARGET: Final = re.compile(r"^((?:build|bundle|compile|package)[\w.-]*)[ \t]*:(?!=)", re.MULTILINE)
# The folder or the file that a bundler's or compiler's options name.
_OUTPUT: Final = re.compile(r"--(out-?dir|outfile)[= ]+[\"']?([\w./@-]+)", re.IGNORECASE)
_OUT_DIR: Final = re.compile(r'"outDir"\s*:\s*"([^"]+)"')
_MAX_UP: Final = 4  # folders above the code in which a build may be described


@dataclass(frozen=True, slots=True)
class Builder:
    """A build that a folder describes.

    Attributes:
        folder: the folder.
        command: its command, which runs in the project's folder.
        output: the folder that it writes to; None where it does not say so.
    """

    folder: Path
    command: str
    output: Path | None = None


def builder_of(repository: Repository, start: Path) -> Builder | None:
    """Return the build that the nearest folder describes, from `start` upwards."""
    for above in (start, *list(start.parents)[:_MAX_UP]):
        if not is_below(above, repository.top):
            return None
        found = _of_scripts(repository, above) or _of_makefile(repository, above)
        if found is not None:
            return found
    return None


def _of_scripts(repository: Repository, folder: Path) -> Builder | None:
    scripts = section(parse_object(read(folder / "package.json")), "scripts")
    names = [name for name in (*_SCRIPTS, "build:all") if text(scripts, name)]
    # `build:lambda`, where there is no other.
    special = [name for name in scripts if name.partition(":")[0] in _SCRIPTS]
    if not names and len(special) == 1:
        names = special
    if not names:
        return None
    command = f"npm run {names[0]}"
    if folder != repository.project:
        command = f"npm --prefix {repository.shown(folder)} run {names[0]}"
    return Builder(folder, command, _output(folder, text(scripts, names[0])))


def _output(folder: Path, script: str) -> Path | None:
    """Return the folder that a script writes to, as its options or tsconfig.json name it."""
    match = _OUTPUT.search(script)
    if match is not None and match[1].lower() == "outfile":
        return (folder / match[2]).resolve().parent
    if match is not None:
        return (folder / match[2]).resolve()
    if "tsc" in script.split():
        out = _OUT_DIR.search(read(folder / "tsconfig.json").decode(errors="replace"))
        if out is not None:
            return (folder / out[1]).resolve()
    return None


def _of_makefile(repository: Repository, folder: Path) -> Builder | None:
    match = _TARGET.search(read(folder / "Makefile").decode(errors="replace"))
    if match is None:
        return None
    if folder == repository.project:
        return Builder(folder, f"make {match[1]}")
    return Builder(folder, f"make -C {repository.shown(folder)} {match[1]}")


def go_builder(repository: Repository, program: Path, output: Path) -> Builder | None:
    """Return the build of a Go program for this machine; None where no module is around it.

    Args:
        repository: the repository.
        program: the folder of its package `main`.
        output: the folder that the program is to be in.
    """
    for module in (program, *program.parents):
        if not is_below(module, repository.top):
            return None
        if (module / "go.mod").is_file():
            target = Path(os.path.relpath(output / "bootstrap", module)).as_posix()
            package = f"./{program.relative_to(module).as_posix()}".removesuffix("/.")
            command = f"go build -o {target} {package}"
            if module != repository.project:
                command = f"cd {repository.shown(module)} && {command}"
            return Builder(module, command, output)
    return None


def lines(
    repository: Repository,
    builder: Builder,
    folder: Path | None,
    sources: Iterable[Path],
    *,
    is_known: bool,
) -> tuple[str, ...]:
    """Return the lines of terralive.toml that build a function and watch its sources.

    Args:
        repository: the repository.
        builder: the build.
        folder: the function's code folder; None where the user has to say it.
        sources: source files of the build.
        is_known: whether terralive knows the folder without a setting.
    """
    found: list[str] = []
    if folder is None:
        found.append('path = "…"')
    elif not is_known:
        found.append(f"path = {json.dumps(repository.shown(folder))}")
    found.append(f"build = {json.dumps(builder.command)}")
    if folder is not None:
        patterns = list(dict.fromkeys(_patterns(builder, folder, sources)))
        found.append(f"watch = {json.dumps(patterns)}")
    return tuple(found)


def build_lines(repository: Repository, folder: Path) -> tuple[str, ...]:
    """Return the lines of terralive.toml that build a folder which terralive does not know."""
    builder = builder_of(repository, folder)
    if builder is None:
        return (f"path = {json.dumps(repository.shown(folder))}", 'build = "…"')
    return lines(repository, builder, folder, (), is_known=False)


def _patterns(builder: Builder, folder: Path, sources: Iterable[Path]) -> Iterator[str]:
    """Yield the patterns of a build's sources, relative to a code folder."""
    several = [item for item in sources if is_below(item, builder.folder)]
    if not several:
        yield f"{_relative(builder.folder / 'src', folder)}/**"
    for source in several:
        first, *more = source.relative_to(builder.folder).parts
        if more:
            yield f"{_relative(builder.folder / first, folder)}/**"
        else:
            yield _relative(builder.folder / f"*{source.suffix}", folder)


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()

"""The Terraform roots of a repository. It reads files and runs nothing.

A root is a folder that Terraform or a CDK for Terraform program runs in. A module that another
folder calls is none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from terralive_cli.protection.production import Name, signs_of_production
from terralive_stub.shared.json_documents import Json, read_object, section, text
from terralive_terraform.discovery.files import module_calls, modules_of
from terralive_terraform.discovery.hcl.folders import configuration_files, read_folder

# Folders that hold no root of the team's.
_SKIPPED: Final = frozenset(
    (
        *("node_modules", "cdktf.out", "venv", "site-packages", "__pycache__", "dist", "build"),
        *("modules", "examples", "example", "test", "tests", "vendor"),
    )
)
_DEEPEST: Final = 6
_PROGRAM: Final = "cdktf.json"


def find_roots(top: Path) -> tuple[Path, ...]:
    """Return the roots below a folder, in the order of their names.

    Where some of them have functions, the others are left out: they are no app.
    """
    folders = list(_folders(top))
    called = set(_called_modules(folders))
    roots = [folder for folder in folders if folder not in called]
    with_functions = [folder for folder in roots if has_functions(folder)]
    return tuple(with_functions or roots)


def without_production(
    roots: Sequence[Path], top: Path, words: Sequence[str]
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Divide roots into those that terralive may work on, and those that look like production.

    Args:
        roots: the roots.
        top: the folder that they were found in.
        words: the words that mean production.
    """
    allowed: list[Path] = []
    refused: list[Path] = []
    for root in roots:
        names = [Name("folder", part) for part in root.relative_to(top).parts]
        if signs_of_production(names, words):
            refused.append(root)
        else:
            allowed.append(root)
    return tuple(allowed), tuple(refused)


def is_program(folder: Path) -> bool:
    """Tell whether a folder holds a CDK for Terraform program."""
    return bool(text(read_object(folder / _PROGRAM), "app"))


def has_functions(folder: Path) -> bool:
    """Tell whether a root has Lambda functions, as far as its files tell.

    A program may have some, and so may a downloaded module that has `lambda` in its source.
    """
    if is_program(folder):
        return True
    calls = module_calls(folder, folder / ".terraform")
    if any(module.functions for module in modules_of(calls)):
        return True
    sources = (source for call in calls for source in _sources(call.document.content))
    return any("lambda" in source.lower() for source in sources)


def folders_below(top: Path) -> Iterator[Path]:
    """Yield a folder and those below it, without those of tools and of tests."""
    for name, folders, _files in os.walk(top):
        folder = Path(name)
        yield folder
        wanted: list[str] = []
        if len(folder.relative_to(top).parts) < _DEEPEST:
            wanted = [item for item in folders if item not in _SKIPPED and not item.startswith(".")]
        # os.walk continues with the folders that are in this list.
        folders[:] = sorted(wanted)


def _folders(top: Path) -> Iterator[Path]:
    """Yield the folders with a configuration or a program."""
    programs: list[Path] = []
    for folder in folders_below(top):
        if any(folder.is_relative_to(program) for program in programs):
            continue
        if is_program(folder):
            programs.append(folder)
            yield folder
        elif configuration_files(folder) or configuration_files(folder, opentofu=True):
            yield folder


def _called_modules(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the folders that other folders call as modules."""
    for folder in folders:
        document = read_folder(folder, lambda kind, _labels: kind == "module")
        for source in _sources(document.content):
            if source.startswith(("./", "../")):
                yield (folder / source).resolve()


def _sources(content: Mapping[str, Json]) -> Iterator[str]:
    for name in section(content, "module"):
        source = text(section(section(content, "module"), name), "source")
        if source:
            yield source

"""Decides which files a plan depends on, or why that cannot be decided. Pure.

All files of the root module's folder and of the folders of its modules count, and what they read
outside. The code of live functions does not: a plan replaces it by the stub. While the code of a
function is not found, all other files of the repository count: one of them may be it.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from terralive_cli.unchanged.files import FileInputs
from terralive_terraform.inputs.calls import Kind, Read, Undecided


@dataclass(frozen=True, slots=True)
class Configuration:
    """A Terraform configuration, as far as its files are concerned.

    Attributes:
        root: the root module's folder.
        modules: the folders of all modules, with the root's.
        files: files that always count: given variables files, the lock file, the state, …
        code: the folders of the live functions' code.
        packages: the zips of live functions, and all archives that Terraform itself makes.
        searched: folders in which the code of a function was looked for and not found.
    """

    root: Path
    modules: frozenset[Path]
    files: frozenset[Path]
    code: frozenset[Path] = frozenset()
    packages: frozenset[Path] = frozenset()
    searched: frozenset[Path] = frozenset()


def file_inputs(
    configuration: Configuration, reads: Iterable[Read | Undecided]
) -> FileInputs | Undecided:
    """Return the files that a plan depends on.

    Args:
        configuration: the configuration.
        reads: what its expressions and data sources read.
    """
    files = set(configuration.files)
    trees = set(configuration.modules)
    names: set[Path] = set()
    left_out = {*configuration.code, *configuration.packages}
    whole: set[Path] = set()
    for read in reads:
        if isinstance(read, Undecided):
            return read
        path = absolute(configuration.root, read.path)
        in_code = _is_below(path, configuration.code) or path in configuration.packages
        match read.kind:
            case Kind.HASH if in_code:
                # The hash of a live function's code tells that its code has changed, no more.
                continue
            case Kind.NAMES:
                names.add(path)
            case _ if read.is_file:
                files.add(path)
            case Kind.HASH:
                trees.add(path)
            case _:
                whole.add(path)
    # What an expression reads in a folder of code counts, although it is code.
    kept = {path for path in left_out if path not in files and not _is_below(path, whole)}
    return FileInputs(
        frozenset(files),
        configuration.modules,
        frozenset({*trees, *whole, *configuration.searched}),
        frozenset({*names, *configuration.searched}),
        frozenset(kept),
    )


def absolute(root: Path, path: str) -> Path:
    """Return the absolute path of a path that Terraform reads; `..` and links stay names."""
    return Path(os.path.abspath(root / os.path.expanduser(path)))  # noqa: PTH100, PTH111  # only names


def _is_below(path: Path, folders: Iterable[Path]) -> bool:
    """Tell whether a path is one of some folders, or in one of them."""
    return any(path == folder or folder in path.parents for folder in folders)

"""The Dockerfiles of a repository, and the one that a function's image is likely built from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from terralive_terraform.images.code_folder import has_sources
from terralive_terraform.images.dockerfile import Stage, final_stage
from terralive_terraform.images.instructions import DockerfileError
from terralive_terraform.images.lambda_image import lambda_image
from terralive_terraform.images.source import ImageBuild

_FILE: Final = re.compile(
    r"(?:Dockerfile|Containerfile)(?:\.([\w.-]+))?|([\w.-]+)\.(?:Dockerfile|Containerfile)",
    re.IGNORECASE,
)
_SKIPPED: Final = frozenset(("node_modules", "venv", "__pycache__", "cdktf.out", "vendor"))
# Folders beside the code in which a Dockerfile may be.
_INNER: Final = frozenset(("docker", "build", "container", "image", "deploy"))
_MOST_FOLDERS: Final = 20_000
_SEPARATORS: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class FoundBuild:
    """A Dockerfile that was searched for.

    Attributes:
        build: the one; None where there is none, or where several would do.
        several: those that would do.
    """

    build: ImageBuild | None
    several: tuple[Path, ...] = ()


def find_build(repository: Path, names: Iterable[str], *, is_only: bool = True) -> FoundBuild:
    """Find the Dockerfile of an image by names: its ECR repository's, then the function's.

    A folder of one of these names counts, or the only Dockerfile for Lambda in the repository.

    Args:
        repository: the folder that is searched.
        names: the names; the first one that some Dockerfile has decides.
        is_only: whether the app has no other image, which the only Dockerfile may build.
    """
    files = [file for file in dockerfiles(repository) if is_for_lambda(file)]
    for name in names:
        for matching in (_equal(files, name), _ending(files, name)):
            if len(matching) == 1:
                return FoundBuild(built_from(matching[0], repository, f"the name {name}"))
            if matching:
                return FoundBuild(None, tuple(matching))
    if len(files) == 1 and is_only:
        only = built_from(files[0], repository, "the only Dockerfile for Lambda")
        return FoundBuild(only)
    return FoundBuild(None, tuple(files))


def built_from(dockerfile: Path, repository: Path, found_by: str) -> ImageBuild:
    """Return the build of a Dockerfile whose build context is not told.

    It is the nearest folder above the Dockerfile that has every file that it copies.
    """
    stage = _stage(dockerfile)
    if stage is not None:
        for folder in (dockerfile.parent, *dockerfile.parent.parents):
            if not folder.is_relative_to(repository):
                break
            if has_sources(stage, folder):
                return ImageBuild(dockerfile, folder, found_by=found_by)
    return ImageBuild(dockerfile, dockerfile.parent, found_by=found_by)


@lru_cache(maxsize=8)
def dockerfiles(repository: Path) -> tuple[Path, ...]:
    """Return all Dockerfiles below a folder, except in hidden folders and those of packages."""
    return tuple(sorted(_walk(repository)))


@lru_cache(maxsize=256)
def is_for_lambda(dockerfile: Path) -> bool:
    """Tell whether a Dockerfile builds an image that Lambda's own runtimes run."""
    stage = _stage(dockerfile)
    return stage is not None and bool(lambda_image(stage).runtime)


def _stage(dockerfile: Path) -> Stage | None:
    try:
        return final_stage(dockerfile.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, DockerfileError):
        return None


def _walk(repository: Path) -> Iterator[Path]:
    for visited, (folder, folders, files) in enumerate(os.walk(repository)):
        if visited > _MOST_FOLDERS:
            return
        folders[:] = [name for name in folders if name not in _SKIPPED and name[0] != "."]
        for name in files:
            if _FILE.fullmatch(name):
                yield Path(folder, name)


def _names(dockerfile: Path) -> list[str]:
    """Return the names that a Dockerfile has: its folder's, and what its own name adds."""
    match = _FILE.fullmatch(dockerfile.name)
    own = match and (match[1] or match[2])
    if own:
        return [_normal(own)]
    folders = [dockerfile.parent]
    if dockerfile.parent.name.lower() in _INNER:
        folders.append(dockerfile.parent.parent)
    names = []
    for folder in folders:
        names += [_normal(folder.name), _normal(f"{folder.parent.name}/{folder.name}")]
    return names


def _equal(files: Sequence[Path], name: str) -> list[Path]:
    wanted = {_normal(name), _normal(name.rpartition("/")[2])}
    return [file for file in files if wanted.intersection(_names(file))]


def _ending(files: Sequence[Path], name: str) -> list[Path]:
    """Return the Dockerfiles whose name ends a longer one: `resize` of `acme-dev-resize`."""
    wanted = _normal(name)
    found = []
    for file in files:
        if any(own and wanted.endswith(f"-{own}") for own in _names(file)):
            found.append(file)
    return found


def _normal(name: str) -> str:
    return _SEPARATORS.sub("-", name.lower()).strip("-")

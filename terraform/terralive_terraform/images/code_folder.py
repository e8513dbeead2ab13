"""The folder on this machine that has the code of an image. It looks at files, and reads none.

A file in the image is followed back through the `COPY` of each stage to the build context.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_terraform.evaluation.sources.handlers import handler_files
from terralive_terraform.images.dockerfile import Copy, Stage
from terralive_terraform.images.instructions import is_known
from terralive_terraform.images.lambda_image import LambdaImage

# Where Lambda looks for a custom runtime:
# https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html
_BOOTSTRAPS: Final = ("/var/runtime/bootstrap", "/var/task/bootstrap", "/opt/bootstrap")
# Programs whose `RUN` may make code.
_BUILDERS: Final = ("npm run", "yarn", "pnpm", "tsc", "esbuild", "webpack", "go build", "cargo")


@dataclass(frozen=True, slots=True)
class CodeFolder:
    """The folder with the code of an image.

    Attributes:
        path: the folder; None where it is not found.
        built: the folder that a build would make; None where that is not known either.
        problem: the reason, as the end of a sentence; "" where the folder is found.
    """

    path: Path | None
    built: Path | None = None
    problem: str = ""


def code_folder(stage: Stage, image: LambdaImage, handler: str, context: Path) -> CodeFolder:
    """Find the folder in which the handler of an image has the same name as in the image.

    Args:
        stage: the image.
        image: what it says of its function.
        handler: the function's handler.
        context: the build context.
    """
    built: Path | None = None
    for relative, file in _candidates(stage, image, handler, context):
        folder = _without(file, relative)
        if not file.is_file():
            built = built or folder
        elif folder is None:
            return CodeFolder(None, problem=_renamed(file, relative))
        else:
            return CodeFolder(folder)
    return CodeFolder(None, built, _not_copied(stage, image, handler))


def _candidates(
    stage: Stage, image: LambdaImage, handler: str, context: Path
) -> Iterator[tuple[str, Path]]:
    """Yield the path that the handler's file has in the task root, and a file that may be it."""
    if image.runtime.startswith("provided"):
        for bootstrap in _BOOTSTRAPS:
            for file in _origins(stage, bootstrap, context):
                yield "bootstrap", file
        return
    for root in image.roots:
        for relative in handler_files(handler, image.runtime):
            for file in _origins(stage, posixpath.join(root, relative), context):
                yield relative, file


def required_sources(stage: Stage) -> Iterator[str]:
    """Yield the paths of the build context that the image's stages copy."""
    for copy in stage.copies:
        if copy.origin is not None:
            yield from required_sources(copy.origin)
        elif not copy.image:
            yield from (source for source in copy.sources if is_known(source))


def has_sources(stage: Stage, context: Path) -> bool:
    """Tell whether a folder has every file that an image copies from its build context."""
    for source in required_sources(stage):
        if not _matching(context, source):
            return False
    return True


def _origins(stage: Stage, path: str, context: Path) -> Iterator[Path]:
    """Yield the files on this machine that may be a file of the image; the last copy comes first.

    They need not exist: a build may make them.
    """
    for copy in reversed(stage.copies):
        if copy.image or not is_known(copy.destination):
            continue
        for source in copy.sources:
            if is_known(source):
                yield from _of_source(copy, source, path, context)


def _of_source(copy: Copy, source: str, path: str, context: Path) -> Iterator[Path]:
    """Yield the files on this machine that one source of a copy puts at a path of the image."""
    inside = _inside(path, copy.destination.rstrip("/") or "/")
    if inside is None:
        return
    if copy.origin is not None:
        yield from _of_stage(copy.origin, source, inside, context)
        return
    for found in _matching(context, source) or [context / source.lstrip("/")]:
        if inside == ".":
            if found.is_file() and not copy.is_into_folder:
                yield found
        elif found.is_dir():
            # The content of a folder is copied, and not the folder itself.
            yield found / inside
        elif found.name == inside:
            yield found


def _of_stage(origin: Stage, source: str, inside: str, context: Path) -> Iterator[Path]:
    """Yield the files for a path that is copied from another stage.

    Whether the source is a folder is not known: its content is copied, or the file itself.
    """
    if not source.startswith("/"):
        source = origin.path(source)
    clean = source.removesuffix("/*").rstrip("/") or "/"
    if inside in {".", posixpath.basename(clean)}:
        yield from _origins(origin, clean, context)
    yield from _origins(origin, posixpath.join(clean, inside), context)


def _inside(path: str, folder: str) -> str | None:
    """Return a path relative to a folder: "." for the folder itself, None for one outside."""
    relative = posixpath.relpath(path, folder)
    if relative.startswith(".."):
        return None
    return relative


def _matching(context: Path, source: str) -> list[Path]:
    """Return the files and folders of the build context that a source names."""
    relative = posixpath.normpath(source.lstrip("/") or ".")
    if relative.startswith(".."):
        return []
    if not any(sign in relative for sign in "*?["):
        path = context / relative
        if path.exists():
            return [path]
        return []
    return sorted(context.glob(relative))


def _without(file: Path, relative: str) -> Path | None:
    """Return the folder in which a file has the relative path; None where it has another one."""
    parts = Path(relative).parts
    if file.parts[-len(parts) :] != parts:
        return None
    return Path(*file.parts[: -len(parts)])


def _renamed(file: Path, relative: str) -> str:
    return (
        f"its image has {file} under another name ({relative}), and terralive runs code only where "
        "it lies"
    )


def _not_copied(stage: Stage, image: LambdaImage, handler: str) -> str:
    named = f"its handler, {handler},"
    if image.runtime.startswith("provided"):
        named = "its program"
    building = list(_building(stage))
    if building:
        return f"{named} is made while its image is built ({'; '.join(building)})"
    return f"{named} is in no file that its Dockerfile copies from this machine"


def _building(stage: Stage) -> Iterator[str]:
    """Yield the commands of an image's stages that may make code."""
    stages = [copy.origin for copy in stage.copies if copy.origin is not None]
    for one in (*stages, stage):
        for command in one.commands:
            if any(builder in command for builder in _BUILDERS):
                yield command

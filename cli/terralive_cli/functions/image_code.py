"""The local code of a function that is a container image, as its Dockerfile tells it.

The Dockerfile is the one of `dockerfile` in terralive.toml, of the Terraform configuration, or of a
folder that has the name of the image's ECR repository. It reads files, and builds nothing.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from terralive_cli.configuration.source import repository_top
from terralive_cli.configuration.tables import FunctionSettings
from terralive_cli.functions.builds import build_lines
from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.images.code_folder import code_folder
from terralive_terraform.images.dockerfile import Stage, final_stage
from terralive_terraform.images.instructions import DockerfileError
from terralive_terraform.images.lambda_image import lambda_image
from terralive_terraform.images.search import FoundBuild, built_from, find_build
from terralive_terraform.images.source import ImageBuild, ImageSource

_MOST: Final = 5  # Dockerfiles that a reason lists
# Labels of functions that say nothing about their image.
_GENERAL: Final = frozenset(
    ("default", "fn", "function", "lambda", "lambda_function", "main", "this")
)
_TAG: Final = re.compile(r"(@sha256:[0-9a-f]+|:[\w.-]+)$")


@dataclass(frozen=True, slots=True)
class ImageCode:
    """The local code of an image, as far as it is known.

    Attributes:
        path: the code's folder.
        runtime: the runtime; "" where it is not known.
        handler: the handler; "" where it is not known.
        problem: the reason why something is not known, as the end of a sentence.
        found_by: what names the Dockerfile.
        settings: lines of terralive.toml that build what the image's own build makes.
    """

    path: Path | None = None
    runtime: str = ""
    handler: str = ""
    problem: str = ""
    found_by: str = ""
    settings: tuple[str, ...] = ()


def image_code(
    project: Path, settings: FunctionSettings, function: DeclaredFunction, key: str = ""
) -> ImageCode:
    """Return what the Dockerfile of a function's image says of its code.

    Args:
        project: the project's folder.
        settings: the function's settings. They take precedence over the Dockerfile.
        function: the function.
        key: the key of the instance; "" where the function is not repeated.

    Raises:
        ConfigurationError: `dockerfile-missing`: the settings name one that does not exist.
    """
    repository = repository_top(project) or project
    build = _build(repository, settings, function, key)
    if isinstance(build, str):
        return ImageCode(problem=build)
    shown = os.path.relpath(build.dockerfile, project)
    stage = _final_stage(build, shown)
    if isinstance(stage, str):
        return ImageCode(problem=stage)
    image = lambda_image(stage)
    handler = _handler(settings, function, image.handler)
    runtime = settings.runtime or image.runtime
    found_by = f"{shown} ({build.found_by})"
    if not runtime or not (handler or runtime.startswith("provided")):
        problem = image.problem or "its handler is an expression (image_config)"
        return ImageCode(None, runtime, handler, f"{problem}: {shown}", found_by)
    context = build.context or build.dockerfile.parent
    folder = code_folder(stage, image, handler, context)
    if not folder.problem:
        return ImageCode(folder.path, runtime, handler, "", found_by)
    problem = f"{folder.problem}: {shown}"
    if folder.built is None:
        return ImageCode(folder.path, runtime, handler, problem, found_by)
    problem += ". A build on this machine may make it"
    settings_to_add = build_lines(project, folder.built)
    return ImageCode(folder.path, runtime, handler, problem, found_by, settings_to_add)


def _final_stage(build: ImageBuild, shown: str) -> Stage | str:
    """Return the last stage of a build's Dockerfile, or the reason why it cannot be read."""
    try:
        content = build.dockerfile.read_text("utf-8")
        return final_stage(content, dict(build.arguments), build.target)
    except DockerfileError as error:
        return f"its Dockerfile cannot be read: {shown}:{error}"
    except (OSError, UnicodeDecodeError) as error:
        return f"its Dockerfile ({build.found_by}) cannot be read: {error}"


def with_other_images(functions: Sequence[DeclaredFunction]) -> list[DeclaredFunction]:
    """Mark the functions of an app whose images come from several repositories.

    The only Dockerfile in a repository may be that of any of them.
    """
    images = {_image_of(item) for item in functions if item.is_image}
    if len(images) <= 1:
        return list(functions)
    marked: list[DeclaredFunction] = []
    for item in functions:
        source = item.image or ImageSource()
        marked.append(replace(item, image=replace(source, is_only=False)))
    return marked


def _image_of(function: DeclaredFunction) -> str:
    """Return what tells the image of a function from others: its name without tag and digest."""
    for instance in function.instances or ():
        if instance.image_uri is not None:
            return _TAG.sub("", instance.image_uri)
    return ", ".join((function.image or ImageSource()).repositories)


def _handler(settings: FunctionSettings, function: DeclaredFunction, of_image: str) -> str:
    """Return the handler: `image_config` takes precedence over the image's own command."""
    if settings.handler:
        return settings.handler
    if function.handler is not None:
        return function.handler
    if function.may_have("image_config"):
        return ""
    return of_image


def _build(
    repository: Path, settings: FunctionSettings, function: DeclaredFunction, key: str
) -> ImageBuild | str:
    """Return the build of an image, or the reason why it is not known."""
    if settings.dockerfile is not None:
        return built_from(_existing(settings, settings.dockerfile), repository, "terralive.toml")
    source = (function.image or ImageSource()).of_instance(key)
    is_certain = source.is_only or not source.is_guess
    if len(source.builds) == 1 and is_certain:
        return source.builds[0]
    if source.builds and is_certain:
        return "several builds may make its image: " + ", ".join(
            build.found_by for build in source.builds
        )
    found = find_build(repository, _image_names(source, function), is_only=source.is_only)
    return found.build or _no_build(repository, found)


def _image_names(source: ImageSource, function: DeclaredFunction) -> list[str]:
    """Return the names by which a folder may be that of a function's image."""
    names = [*source.names, function.function_name or ""]
    if function.label not in _GENERAL:
        names.append(function.label)
    return [name for name in names if name]


def _no_build(repository: Path, found: FoundBuild) -> str:
    """Return the reason why no Dockerfile is certain."""
    if found.several:
        listed = ", ".join(os.path.relpath(file, repository) for file in found.several[:_MOST])
        if len(found.several) == 1:
            return f"nothing tells whether {listed} builds its image or that of another function"
        return f"several Dockerfiles may build its image: {listed}"
    return "no Dockerfile for Lambda that builds its image was found in the repository"


def _existing(settings: FunctionSettings, dockerfile: Path) -> Path:
    """Return a Dockerfile that the settings name.

    Raises:
        ConfigurationError: `dockerfile-missing`.
    """
    file = dockerfile
    if dockerfile.is_dir():
        file = dockerfile / "Dockerfile"
    if file.is_file():
        return file
    raise ConfigurationError(
        "dockerfile-missing",
        f"The Dockerfile of {settings.pattern} does not exist: {file}",
        hint=f"Correct dockerfile in the table [functions.'{settings.pattern}'] of terralive.toml.",
    )


def with_image(function: DeclaredFunction, image: ImageCode) -> DeclaredFunction:
    """Return a function with what its Dockerfile says, where the configuration says nothing."""
    return replace(
        function,
        path=function.path or image.path,
        runtime=function.runtime or image.runtime or None,
        handler=function.handler or image.handler or None,
    )

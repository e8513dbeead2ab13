"""How a function's container image is built, as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ImageBuild:
    """One way in which an image is built.

    Attributes:
        dockerfile: the Dockerfile.
        context: the build context; None where it is not known.
        target: the stage of the Dockerfile; None for the last one.
        arguments: the build arguments.
        found_by: what says so, for a person: `docker_image.resize`.
    """

    dockerfile: Path
    context: Path | None
    target: str | None = None
    arguments: tuple[tuple[str, str], ...] = ()
    found_by: str = ""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """What the configuration says of a function's image.

    Attributes:
        builds: the ways in which it is built; several where it cannot be decided.
        repositories: the names of the ECR repositories that it may come from, as far as they are
            literal: `-resize` of `${var.prefix}-resize`.
    """

    builds: tuple[ImageBuild, ...] = ()
    repositories: tuple[str, ...] = ()

"""The build of a function's container image, as values."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    """The builds and repositories that the configuration names for a function's image.

    Attributes:
        builds: the ways in which it is built; several where it cannot be decided.
        repositories: the names of the ECR repositories that it may come from; what only Terraform
            knows is in them as `${…}`.
        is_only: whether no function of the app has an image from elsewhere.
        is_guess: whether only their module connects `builds` with the function's image.
    """

    builds: tuple[ImageBuild, ...] = ()
    repositories: tuple[str, ...] = ()
    is_only: bool = True
    is_guess: bool = False

    def of_instance(self, key: str) -> ImageSource:
        """Return the source of one instance's image: its key in the place of `each.key`.

        Args:
            key: the key of `for_each` or `count`; "" where the function is not repeated.
        """
        if not key:
            return self
        builds: list[ImageBuild] = []
        for build in self.builds:
            dockerfile = Path(_with_key(str(build.dockerfile), key))
            context = build.context
            if context is not None:
                context = Path(_with_key(str(context), key))
            builds.append(replace(build, dockerfile=dockerfile, context=context))
        repositories = tuple(_with_key(name, key) for name in self.repositories)
        return replace(self, builds=tuple(builds), repositories=repositories)

    def outside(self, folder: Path) -> ImageSource:
        """Return the source without the builds of a folder."""
        kept = [build for build in self.builds if not build.dockerfile.is_relative_to(folder)]
        return replace(self, builds=tuple(kept))

    @property
    def names(self) -> tuple[str, ...]:
        """The literal ends of the repositories' names: `-resize` of `${var.prefix}-resize`."""
        ends = [name.rpartition("}")[2] for name in self.repositories]
        return tuple(dict.fromkeys(end for end in ends if end))


def _with_key(text: str, key: str) -> str:
    return text.replace("${each.key}", key).replace("${count.index}", key)

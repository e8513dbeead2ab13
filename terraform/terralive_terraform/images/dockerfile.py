"""The image that a Dockerfile builds: its base, what is copied into it, and what it starts. Pure.

https://docs.docker.com/reference/dockerfile/. Nothing runs: files that a `RUN` makes are not known.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from terralive_terraform.images.instructions import (
    DockerfileError,
    Instruction,
    expand,
    read_instructions,
    split,
)
from terralive_terraform.images.lambda_bases import lambda_base

_URLS: Final = ("http://", "https://", "git@")
TASK_ROOT: Final = "/var/task"
# What Lambda's base images set: https://docs.aws.amazon.com/lambda/latest/dg/images-create.html
_LAMBDA_VARIABLES: Final = {
    "LAMBDA_TASK_ROOT": TASK_ROOT,
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
}


@dataclass(frozen=True, slots=True)
class Copy:
    """One `COPY` or `ADD`.

    Attributes:
        sources: paths as they are written: relative to the build context, or to the root of
            `origin`.
        destination: an absolute path in the image; with "/" at the end for a folder.
        origin: the stage that the files come from; None for the build context.
        image: the image that they come from; "" for a stage or the context.
    """

    sources: tuple[str, ...]
    destination: str
    origin: Stage | None = None
    image: str = ""

    @property
    def is_into_folder(self) -> bool:
        """Tell whether the destination is certainly a folder."""
        return self.destination.endswith("/") or len(self.sources) > 1


@dataclass(slots=True)
class Stage:
    """One stage of a Dockerfile, as it is at its end.

    Attributes:
        base: the image that it begins with; the base's base where that is a stage.
        name: its name; "" for none.
        directory: its `WORKDIR`.
        variables: its environment variables (`ENV`).
        arguments: the values of its `ARG`s.
        copies: its `COPY` and `ADD`, in their order.
        commands: its `RUN`s.
        entrypoint: the words of its ENTRYPOINT; () for the base's.
        command: the words of its CMD; () for the base's.
    """

    base: str
    name: str = ""
    directory: str = "/"
    variables: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    def path(self, text: str) -> str:
        """Return the absolute form of a path in the image; a "/" at the end stays."""
        absolute = posixpath.normpath(posixpath.join(self.directory, text))
        if text.endswith(("/", "/.")) or text in {".", "./"}:
            return absolute.rstrip("/") + "/"
        return absolute

    def value(self, text: str) -> str:
        """Put the values of arguments and environment variables into a text."""
        return expand(text, {**self.arguments, **self.variables})

    def following(self, name: str) -> Stage:
        """Return a new stage that begins with what this one is."""
        return Stage(
            self.base,
            name,
            self.directory,
            dict(self.variables),
            {},
            list(self.copies),
            list(self.commands),
            self.entrypoint,
            self.command,
        )


def final_stage(
    content: str, arguments: Mapping[str, str] | None = None, target: str | None = None
) -> Stage:
    """Return the stage that becomes the image.

    Args:
        content: the Dockerfile.
        arguments: the build arguments.
        target: the stage that is built; None for the last one.

    Raises:
        DockerfileError: it is no Dockerfile, or has no such stage.
    """
    reader = _Reader(arguments or {})
    for instruction in read_instructions(content):
        reader.read(instruction)
    return reader.stage(target)


class _Reader:
    """Evaluates instructions in their order."""

    def __init__(self, given: Mapping[str, str]) -> None:
        # The build arguments, which take precedence over the defaults of `ARG`.
        self._given = given
        # The arguments before the first `FROM`. They count in `FROM`.
        self._global: dict[str, str] = {}
        # The stages so far.
        self._stages: list[Stage] = []

    def stage(self, target: str | None) -> Stage:
        if not self._stages:
            raise DockerfileError("1: there is no FROM")
        if target is None:
            return self._stages[-1]
        found = self._find(target)
        if found is None:
            raise DockerfileError(f"1: there is no stage {target!r}")
        return found

    def read(self, instruction: Instruction) -> None:
        if instruction.name == "FROM":
            self._stages.append(self._from(instruction))
            return
        if not self._stages:
            if instruction.name != "ARG":
                raise DockerfileError(f"{instruction.line}: {instruction.name} before FROM")
            self._global.update(self._declared(instruction, self._global, {}))
            return
        self._apply(self._stages[-1], instruction)

    def _apply(self, stage: Stage, instruction: Instruction) -> None:
        match instruction.name:
            case "ARG":
                known = {**stage.arguments, **stage.variables}
                stage.arguments.update(self._declared(instruction, known, self._global))
            case "ENV":
                stage.variables.update(_assigned(stage, instruction))
            case "WORKDIR":
                stage.directory = stage.path(stage.value(instruction.rest)).rstrip("/") or "/"
            case "COPY" | "ADD":
                self._copy(stage, instruction)
            case "RUN":
                stage.commands.append(instruction.rest)
            case "ENTRYPOINT":
                stage.entrypoint = instruction.words
            case "CMD":
                stage.command = instruction.words

    def _from(self, instruction: Instruction) -> Stage:
        words = [expand(word, self._global) for word in split(instruction.rest)]
        if not words:
            raise DockerfileError(f"{instruction.line}: FROM names no image")
        name = ""
        if len(words) > 2 and words[1].lower() == "as":  # noqa: PLR2004  # IMAGE as NAME
            name = words[2]
        before = self._find(words[0])
        if before is not None:
            return before.following(name)
        stage = Stage(words[0], name)
        if lambda_base(words[0]) is not None:
            stage.directory = TASK_ROOT
            stage.variables.update(_LAMBDA_VARIABLES)
        return stage

    def _find(self, name: str) -> Stage | None:
        """Return a stage by its name or its number."""
        for stage in self._stages:
            if stage.name and stage.name.lower() == name.lower():
                return stage
        if name.isdecimal() and int(name) < len(self._stages):
            return self._stages[int(name)]
        return None

    def _declared(
        self, instruction: Instruction, known: Mapping[str, str], inherited: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the values of the arguments that an `ARG` declares, as far as they are known."""
        values: dict[str, str] = {}
        for word in split(instruction.rest):
            name, has_default, default = word.partition("=")
            if name in self._given:
                values[name] = self._given[name]
            elif has_default:
                values[name] = expand(default, {**known, **values})
            elif name in inherited:
                values[name] = inherited[name]
        return values

    def _copy(self, stage: Stage, instruction: Instruction) -> None:
        words = [stage.value(word) for word in instruction.words]
        sources = tuple(word for word in words[:-1] if not word.startswith(("<<", *_URLS)))
        if not sources:
            return
        destination = stage.path(words[-1])
        origin, image = None, ""
        named = stage.value(instruction.flags.get("from", ""))
        if named:
            origin = self._find(named)
            if origin is None or origin is stage:
                origin, image = None, named
        stage.copies.append(Copy(sources, destination, origin, image))


def _assigned(stage: Stage, instruction: Instruction) -> dict[str, str]:
    """Return the variables of an `ENV`, in both its forms (`A=1 B=2`, and the older `A 1`)."""
    words = split(instruction.rest)
    if words and "=" not in words[0]:
        name, _, value = instruction.rest.partition(" ")
        return {name: stage.value(value.strip())}
    values: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition("=")
        values[name] = stage.value(value)
    return values

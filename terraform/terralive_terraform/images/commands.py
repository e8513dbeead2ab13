"""The `docker build` commands of a shell text. Pure.

https://docs.docker.com/reference/cli/docker/buildx/build/. Podman, Finch and nerdctl take the same.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_PROGRAMS: Final = frozenset(("docker", "podman", "finch", "nerdctl"))
_END: Final = re.compile(r"&&|\|\||[;|\n]")
# Options without a value; every other one has one.
_SWITCHES: Final = frozenset(
    ("--load", "--no-cache", "--pull", "--push", "--quiet", "-q", "--rm", "--squash", "--debug")
)
_NOT_A_FOLDER: Final = re.compile(r"-|https?://.*|git@.*|.*\.git(?:#.*)?")


@dataclass(frozen=True, slots=True)
class BuildCommand:
    """One `docker build`.

    Attributes:
        context: the build context, relative to the folder that the command runs in.
        dockerfile: the Dockerfile, likewise; "" for the one of the context.
        target: the stage that is built; None for the last one.
        arguments: the build arguments that have a value.
        tags: the names of the image.
    """

    context: str
    dockerfile: str
    target: str | None
    arguments: tuple[tuple[str, str], ...]
    tags: tuple[str, ...]


def build_commands(text: str) -> Iterator[BuildCommand]:
    """Yield the builds of a shell text. `cd FOLDER` before one counts."""
    joined = re.sub(r"\\\r?\n", " ", text)
    folder = ""
    for part in _END.split(joined):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:
            words = part.split()
        if words[:1] == ["cd"] and len(words) > 1:
            folder = posixpath.join(folder, words[1])
        command = _build(words, folder)
        if command is not None:
            yield command


def _build(words: Sequence[str], folder: str) -> BuildCommand | None:
    at = _arguments_at(words)
    if at is None:
        return None
    contexts, options = _parsed(words[at:])
    if not contexts or any(_NOT_A_FOLDER.fullmatch(context) for context in contexts):
        return None
    # Of an option that is given several times, the last value counts.
    files = [*options.get("-f", []), *options.get("--file", [])]
    dockerfile = ""
    if files:
        dockerfile = posixpath.join(folder, files[-1])
    target = None
    if "--target" in options:
        target = options["--target"][-1]
    arguments = []
    for given in options.get("--build-arg", []):
        name, has_value, value = given.partition("=")
        if has_value:
            arguments.append((name, value))
    return BuildCommand(
        posixpath.join(folder, contexts[-1]),
        dockerfile,
        target,
        tuple(arguments),
        (*options.get("-t", []), *options.get("--tag", [])),
    )


def _parsed(words: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the words that are no options, and the values of each option by its name."""
    others: list[str] = []
    options: dict[str, list[str]] = {}
    rest = iter(words)
    for word in rest:
        name, has_value, value = word.partition("=")
        if not word.startswith("-") or word == "-":
            others.append(word)
        elif name not in _SWITCHES:
            if not has_value:
                value = next(rest, "")
            options.setdefault(name, []).append(value)
    return others, options


def _arguments_at(words: Sequence[str]) -> int | None:
    """Return the index of the first word behind `docker build`; None for another command."""
    for at, word in enumerate(words):
        if posixpath.basename(word) not in _PROGRAMS:
            continue
        # Global options (`--context x`) may be between the program and `build`.
        if "build" in words[at + 1 : at + 5]:
            return words.index("build", at + 1) + 1
    return None

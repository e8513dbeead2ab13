"""Kinds of values that a setting can have: conversion from TOML, from text, and completion.

A kind converts what the user wrote in terralive.toml (`from_toml`) or in an environment variable
(`from_text`). `complete` then makes the final value: it fills placeholders and makes paths
absolute. Each of them raises WrongValueError for a value that is not allowed.
"""

from __future__ import annotations

import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Generic, TypeVar

from terralive_cli.configuration.rules import closest
from terralive_stub.shared.json_documents import Json

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off", "")
_TYPE_NAMES: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
}
T = TypeVar("T")


class WrongValueError(ValueError):
    """A value that a setting cannot have. Its text says what is wrong and what is allowed.

    Args:
        what: the text.
        below: the place inside the value, as `.key`.
    """

    def __init__(self, what: str, below: str = "") -> None:
        super().__init__(what)
        self.below = below


def wrong_type(value: object, allowed: str, below: str = "") -> WrongValueError:
    """Return the error for a TOML value of the wrong type."""
    kind = _TYPE_NAMES.get(type(value), type(value).__name__)
    shown = f"{value!r}, " if isinstance(value, str | int | float) else ""
    return WrongValueError(f"it is {shown}{kind}; allowed is {allowed}.", below)


@dataclass(frozen=True, slots=True)
class Context:
    """Facts that complete a value.

    Attributes:
        project: the project's absolute folder; paths are relative to it.
        placeholders: values for `{app}`, `{stage}` and `{user}`, as far as they are known.
    """

    project: Path
    placeholders: dict[str, str] = field(default_factory=dict)


class Kind(ABC, Generic[T]):
    """Base class of the kinds. `T` is the type of a value before it is completed."""

    @abstractmethod
    def from_toml(self, value: object) -> T: ...

    def from_text(self, text: str) -> T | None:
        """Convert an environment variable; None if its text counts as not set."""
        if not text:
            return None
        return self.from_toml(text)

    def complete(self, value: T, context: Context) -> object:  # noqa: ARG002 - some kinds use it
        return value


@dataclass(frozen=True, slots=True)
class Text(Kind[str]):
    """Text that is not empty.

    `placeholders` are the names that may stand in it in braces.
    """

    placeholders: tuple[str, ...] = ()

    def from_toml(self, value: object) -> str:
        if isinstance(value, str) and value.strip():
            return value
        raise wrong_type(value, "text that is not empty")

    def complete(self, value: str, context: Context) -> object:
        if not self.placeholders:
            return value
        return _filled(value, _chosen(context, self.placeholders))


@dataclass(frozen=True, slots=True)
class Choice(Kind[str]):
    """One of a few words. The completed value is a member of `members`."""

    members: type[StrEnum]

    def from_toml(self, value: object) -> str:
        return Text().from_toml(value)

    def complete(self, value: str, context: Context) -> object:
        del context
        known = [member.value for member in self.members]
        if value not in known:
            suggestion = closest(value, known)
            raise WrongValueError(
                f'"{value}" is not one of the choices.{suggestion} Known: {", ".join(known)}.'
            )
        return self.members(value)


@dataclass(frozen=True, slots=True)
class ChoiceOrSwitch(Choice):
    """The same as `Choice`, and `true` and `false` are two of the words."""

    def from_toml(self, value: object) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return super(ChoiceOrSwitch, self).from_toml(value)


class Switch(Kind[bool]):
    """True or false."""

    def from_toml(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        raise wrong_type(value, "true or false")

    def from_text(self, text: str) -> bool | None:
        word = text.lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        allowed = ", ".join((*_TRUE, *(item for item in _FALSE if item)))
        raise WrongValueError(f'it is "{text}"; allowed are {allowed}.')


@dataclass(frozen=True, slots=True)
class Number(Kind[int]):
    """A whole number from `least` to `most`."""

    least: int
    most: int

    def from_toml(self, value: object) -> int:
        # In Python, True and False are whole numbers too.
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if isinstance(value, int) and is_number and self.least <= value <= self.most:
            return value
        raise wrong_type(value, f"a whole number from {self.least} to {self.most}")


class Texts(Kind[tuple[str, ...]]):
    """A list of texts, none of them empty; in an environment variable, with commas or spaces."""

    def from_text(self, text: str) -> tuple[str, ...] | None:
        return tuple(text.replace(",", " ").split()) or None

    def from_toml(self, value: object) -> tuple[str, ...]:
        allowed = 'a list of texts (`["a", "b"]`)'
        if not isinstance(value, list):
            raise wrong_type(value, allowed)
        for item in value:
            if not isinstance(item, str) or not item:
                raise wrong_type(value, allowed)
        return tuple(value)


class TextOrTexts(Texts):
    """A text, or a list of texts. The option of the command line may be given more than once."""

    def from_toml(self, value: object) -> tuple[str, ...]:
        if isinstance(value, str) and value.strip():
            return (value,)
        if isinstance(value, list):
            return super().from_toml(value)
        raise wrong_type(value, 'text that is not empty, or a list of texts (`["a", "b"]`)')

    def complete(self, value: tuple[str, ...] | str, context: Context) -> object:
        del context
        # An option that was given once may be one text.
        return (value,) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class TextsOrTables(Texts):
    """A list of texts, or a table whose keys are the texts and whose values are tables."""

    def from_toml(self, value: object) -> tuple[str, ...]:
        if isinstance(value, dict):
            return tuple(str(key) for key in value)
        return super(TextsOrTables, self).from_toml(value)


@dataclass(frozen=True, slots=True)
class BackendArguments(Kind[tuple[str, ...]]):
    """Arguments for `terraform init -backend-config`: `key=value`, or a file that exists.

    https://developer.hashicorp.com/terraform/language/backend#partial-configuration

    `placeholders` are the names that may stand in them in braces.
    """

    placeholders: tuple[str, ...] = ()

    def from_toml(self, value: object) -> tuple[str, ...]:
        return Texts().from_toml(value)

    def from_text(self, text: str) -> tuple[str, ...] | None:
        """Split the text as a shell does."""
        try:
            return tuple(shlex.split(text)) or None
        except ValueError as error:
            raise WrongValueError(f"it cannot be split into arguments: {error}.") from None

    def complete(self, value: tuple[str, ...], context: Context) -> object:
        known = _chosen(context, self.placeholders)
        arguments = []
        for given in value:
            argument = _filled(given, known)
            if "=" not in argument:
                (file,) = _existing((argument,), context)
                argument = str(file)
            arguments.append(argument)
        return tuple(arguments)


class Labels(Kind[dict[str, str]]):
    """A table of texts."""

    def from_toml(self, value: object) -> dict[str, str]:
        allowed = 'a table of texts (`{ team = "orders" }`)'
        if not isinstance(value, dict):
            raise wrong_type(value, allowed)
        for item in value.values():
            if not isinstance(item, str):
                raise wrong_type(value, allowed)
        return dict(value)


@dataclass(frozen=True, slots=True)
class Document(Kind[dict[str, Json]]):
    """A table with anything that Terraform can read: texts, numbers, booleans, lists and tables.

    `placeholders` are the names that may stand in its texts in braces.
    """

    placeholders: tuple[str, ...] = ()

    def from_toml(self, value: object) -> dict[str, Json]:
        if not isinstance(value, dict):
            raise wrong_type(value, "a table")
        return {str(name): _as_json(item, f".{name}") for name, item in value.items()}

    def complete(self, value: dict[str, Json], context: Context) -> object:
        # Keys have no placeholders: Terraform knows the names of arguments.
        known = _chosen(context, self.placeholders)
        return {name: _filled_json(item, known) for name, item in value.items()}


class Folder(Text):
    """A folder that exists. The completed value is its absolute path."""

    def complete(self, value: str, context: Context) -> object:
        path = (context.project / value).resolve()
        if not path.is_dir():
            raise WrongValueError(f"there is no folder {path}.")
        return path


class CodeFolder(Text):
    """A folder of code, which need not exist yet. The completed value is its absolute path."""

    def complete(self, value: str, context: Context) -> object:
        return (context.project / Path(value).expanduser()).resolve()


class CodeFolders(Texts):
    """Folders of code that exist. The completed value is a tuple of their absolute paths."""

    def complete(self, value: tuple[str, ...], context: Context) -> object:
        return tuple(Folder().complete(name, context) for name in value)


class Files(Texts):
    """Files that exist. The completed value is a tuple of their absolute paths."""

    def complete(self, value: tuple[str, ...], context: Context) -> object:
        return _existing(value, context)


class Program(Text):
    """A program: a bare name, which is searched on `PATH`, or a path."""

    def complete(self, value: str, context: Context) -> object:
        if "/" not in value:
            return Path(value)
        # Not resolved: a venv's python is a symbolic link, and following it would leave the venv.
        return context.project / Path(value).expanduser()


class ProgramName(Program):
    """The same as `Program`; the completed value is text."""

    def complete(self, value: str, context: Context) -> object:
        return str(super().complete(value, context))


def _existing(names: Iterable[str], context: Context) -> tuple[Path, ...]:
    """Return the absolute paths of files.

    Raises:
        WrongValueError: one of them does not exist.
    """
    paths = tuple((context.project / name).resolve() for name in names)
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise WrongValueError(f"there is no file {', '.join(missing)}.")
    return paths


def _chosen(context: Context, names: Iterable[str]) -> dict[str, str]:
    return {name: context.placeholders[name] for name in names}


def _filled(text: str, known: Mapping[str, str]) -> str:
    """Return the text with values in the place of `{name}`.

    Raises:
        WrongValueError: there is no value for a name.
    """
    unknown = [name for name in _PLACEHOLDER.findall(text) if name not in known]
    if unknown:
        names = _in_braces(sorted(set(unknown)))
        raise WrongValueError(f"there is no {names}; known are {_in_braces(known)}.")
    return _PLACEHOLDER.sub(lambda match: known[match[1]], text)


def _filled_json(value: Json, known: Mapping[str, str]) -> Json:
    if isinstance(value, str):
        return _filled(value, known)
    if isinstance(value, list):
        return [_filled_json(item, known) for item in value]
    if isinstance(value, dict):
        return {name: _filled_json(item, known) for name, item in value.items()}
    return value


def _in_braces(names: Iterable[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)


def _as_json(value: object, below: str) -> Json:
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list):
        return [_as_json(item, below) for item in value]
    if isinstance(value, dict):
        return {str(name): _as_json(item, f"{below}.{name}") for name, item in value.items()}
    raise wrong_type(value, "text, a number, true or false, a list or a table", below)

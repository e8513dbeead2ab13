"""The instructions of a Dockerfile, one by one. Pure.

https://docs.docker.com/reference/dockerfile/ has the format: parser directives, line
continuations, comments, here-documents, the shell form and the exec (JSON) form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_KNOWN: Final = frozenset(
    (
        *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK"),
        *("LABEL", "MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME"),
        "WORKDIR",
    )
)
_WITH_DOCUMENTS: Final = frozenset(("ADD", "COPY", "RUN"))
_DIRECTIVE: Final = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*")
_DOCUMENT: Final = re.compile(r"<<-?\s*([\"']?)(\w+)\1")
_FLAG: Final = re.compile(r"--([\w-]+)(?:=(\S*))?(?:\s+|$)")
_VARIABLE: Final = re.compile(r"\\\$|\$(?:(\w+)|\{(\w+)(?::?([-+])([^}]*))?\})")


class DockerfileError(ValueError):
    """A line that is no instruction of a Dockerfile; the text begins with the line's number."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Attributes:
        line: the number of its first line.
        name: in upper case.
        flags: its flags without dashes (`from` of `--from=build`); "" for one without a value.
        rest: its arguments as they are written, in one line.
    """

    line: int
    name: str
    flags: Mapping[str, str]
    rest: str

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments: of the exec form, or those between spaces."""
        listed = self.listed
        if listed is not None:
            return listed
        return tuple(split(self.rest))

    @property
    def listed(self) -> tuple[str, ...] | None:
        """The arguments of the exec form; None for the shell form."""
        if not self.rest.startswith("["):
            return None
        try:
            items = json.loads(self.rest)
        except ValueError:
            return None
        if not all(isinstance(item, str) for item in items):
            return None
        return tuple(items)


def read_instructions(content: str) -> Iterator[Instruction]:
    """Yield the instructions of a Dockerfile.

    Raises:
        DockerfileError: a line is no instruction.
    """
    lines = content.removeprefix("\ufeff").splitlines()
    escape = _escape(lines)
    at = 0
    while at < len(lines):
        first = at
        text, at = _joined(lines, at, escape)
        if not text:
            continue
        name, _, rest = text.partition(" ")
        name = name.upper()
        if name not in _KNOWN:
            raise DockerfileError(f"{first + 1}: {text[:60]!r} is no instruction of a Dockerfile")
        if name in _WITH_DOCUMENTS:
            at = _after_documents(lines, at, rest)
        flags, rest = _flags(rest.strip())
        yield Instruction(first + 1, name, flags, rest)


def split(text: str) -> list[str]:
    """Return the words of a text; quotes keep words together, and are removed."""
    words = re.findall(r"(?:[^\s\"']|\"[^\"]*\"|'[^']*')+", text)
    return [re.sub(r"\"([^\"]*)\"|'([^']*)'", r"\1\2", word) for word in words]


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Put the values of variables into a text. A variable that is not known stays as `${NAME}`.

    https://docs.docker.com/reference/dockerfile/#environment-replacement
    """

    def value(match: re.Match[str]) -> str:
        if match[0] == "\\$":
            return "$"
        name, operator, other = match[1] or match[2], match[3], match[4] or ""
        known = variables.get(name)
        if operator == "+":
            return expand(other, variables) if known else ""
        if operator == "-" and not known:
            return expand(other, variables)
        if known is None:
            return f"${{{name}}}"
        return known

    return _VARIABLE.sub(value, text)


def is_known(text: str) -> bool:
    """Tell whether an expanded text contains no unknown variable."""
    return "${" not in text


def _escape(lines: list[str]) -> str:
    """Return the character that continues a line, from the directives at the beginning."""
    for line in lines:
        directive = _DIRECTIVE.fullmatch(line.strip())
        if directive is None:
            break
        if directive[1].lower() == "escape":
            return directive[2]
    return "\\"


def _joined(lines: list[str], at: int, escape: str) -> tuple[str, int]:
    """Join a line and its continuations. Return the text, and the index of the next line."""
    parts: list[str] = []
    is_continued = True
    while is_continued and at < len(lines):
        line = lines[at].strip()
        at += 1
        if line.startswith("#") or (parts and not line):
            continue  # a comment, or an empty line, between continued lines
        is_continued = line.endswith(escape)
        if is_continued:
            line = line[: -len(escape)].strip()
        parts.append(line)
    return " ".join(part for part in parts if part), at


def _after_documents(lines: list[str], at: int, rest: str) -> int:
    """Return the index of the line after an instruction's here-documents."""
    for document in _DOCUMENT.finditer(rest):
        while at < len(lines) and lines[at].strip() != document[2]:
            at += 1
        at += 1
    return at


def _flags(rest: str) -> tuple[dict[str, str], str]:
    flags: dict[str, str] = {}
    while match := _FLAG.match(rest):
        flags[match[1]] = match[2] or ""
        rest = rest[match.end() :]
    return flags, rest

"""Calls of Terraform's functions that read files, or whose result differs from run to run. Pure.

https://developer.hashicorp.com/terraform/language/functions
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.hcl.expressions import ExpressionReader
from terralive_terraform.discovery.hcl.scope import (
    Scope,
    compute_expression,
    expression_of,
    parsed_template,
)
from terralive_terraform.discovery.hcl.syntax import (
    Attribute,
    Call,
    Conditional,
    Expression,
    Name,
    Sequence,
    Source,
    Template,
    UnreadableError,
)
from terralive_terraform.discovery.hcl.values import as_text

# Functions whose result is another one in every run.
_NEVER_THE_SAME: Final = ("timestamp", "plantimestamp", "uuid", "bcrypt")
_CONTENT: Final = ("file", "filebase64", "fileexists")
_HASHES: Final = (
    "filemd5",
    "filesha1",
    "filesha256",
    "filesha512",
    "filebase64sha256",
    "filebase64sha512",
)
_NAMES: Final = "fileset"
_TEMPLATE: Final = "templatefile"
# Functions of these providers only compute. Those of others may read files.
_PURE_PROVIDERS: Final = ("aws", "terraform", "time")
_CALL: Final = re.compile(
    r"(?<![\w.-])(?:core::)?(?P<name>"
    + "|".join((*_NEVER_THE_SAME, *_CONTENT, *_HASHES, _NAMES, _TEMPLATE))
    + r")\s*\("
)
_PROVIDERS_FUNCTION: Final = re.compile(r"(?<![\w.-])provider::(?P<provider>[\w-]+)::[\w-]+\s*\(")


class Kind(Enum):
    """What of a file or folder is read."""

    CONTENT = auto()
    HASH = auto()  # only a hash of its content
    NAMES = auto()  # the names in a folder
    TEMPLATE = auto()  # its content, which may call functions itself


@dataclass(frozen=True, slots=True)
class Read:
    """A file or folder that an expression reads.

    Attributes:
        path: its path; a relative one starts at the root module's folder.
        kind: what of it is read.
        is_file: whether it is one file. Otherwise it is some files below this folder, because only
            Terraform knows the rest of the path.
    """

    path: str
    kind: Kind
    is_file: bool


@dataclass(frozen=True, slots=True)
class Undecided:
    """An expression whose value may be another one in the next run, as far as files tell.

    Attributes:
        reason: the reason, as the end of a sentence.
    """

    reason: str


def calls_in(value: Json, scope: Scope) -> Iterator[Read | Undecided]:
    """Yield the files that a value reads, and what makes it undecided.

    Args:
        value: blocks or an attribute's value in Terraform's JSON syntax.
        scope: what it refers to.
    """
    if isinstance(value, str):
        yield from _in_text(value, scope)
    elif isinstance(value, list):
        for item in value:
            yield from calls_in(item, scope)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _in_text(name, scope)
            yield from calls_in(item, scope)


def _in_text(text: str, scope: Scope) -> Iterator[Read | Undecided]:
    if "${" not in text and "%{" not in text:
        return
    for match in _PROVIDERS_FUNCTION.finditer(text):
        if match["provider"] not in _PURE_PROVIDERS:
            yield Undecided(f"{match[0]}…) may read something")
    for match in _CALL.finditer(text):
        if match["name"] in _NEVER_THE_SAME:
            yield Undecided(f"{match['name']}() has another value in every plan")
            continue
        yield _read(match["name"], text, match.end(), scope)


def _read(name: str, text: str, position: int, scope: Scope) -> Read | Undecided:
    try:
        argument = ExpressionReader(text, position).nested(lines_are_blank=True)
    except (UnreadableError, RecursionError):
        return Undecided(f"what {name}(…) reads cannot be told")
    kind = Kind.CONTENT
    if name in _HASHES:
        kind = Kind.HASH
    elif name == _NAMES:
        kind = Kind.NAMES
    elif name == _TEMPLATE:
        kind = Kind.TEMPLATE
    path = _whole_path(argument, scope)
    if path is not None:
        return Read(path, kind, is_file=kind is not Kind.NAMES)
    folder = _folder(argument, scope, ())
    if folder is not None:
        return Read(folder, kind, is_file=False)
    return Undecided(f"only Terraform knows what {name}({argument.text}) reads")


def _whole_path(argument: Expression, scope: Scope) -> str | None:
    match argument:
        case Source(inner):
            return _whole_path(inner, scope)
        case Call("pathexpand" | "abspath", (inner,)):
            return _whole_path(inner, scope)
    return as_text(compute_expression(argument, scope))


def _folder(argument: Expression, scope: Scope, followed: tuple[str, ...]) -> str | None:
    """Return the folder in which the path begins; None where it is not known."""
    match argument:
        case Source(inner) | Call("pathexpand" | "abspath", (inner,)):
            return _folder(inner, scope, followed)
        case Template(parts):
            return _beginning(parts, scope)
        case Attribute(Name("local"), name) if name not in followed:
            value = scope.locals.get(name)
            expression = expression_of(value)
            if expression is not None:
                return _folder(expression, scope, (*followed, name))
            if isinstance(value, str):
                return _folder_of_text(value, scope)
        case Conditional(_, yes, no):
            both = {_folder(yes, scope, followed), _folder(no, scope, followed)}
            if len(both) == 1:
                return both.pop()
    return None


def _folder_of_text(text: str, scope: Scope) -> str | None:
    template = parsed_template(text)
    if template is None:
        return None
    return _beginning(template.parts, scope)


def _beginning(parts: tuple[str | Sequence, ...], scope: Scope) -> str | None:
    """Return the folder that the known beginning of a path names; None where nothing is known."""
    known = ""
    for part in parts:
        text: str | None = None
        if isinstance(part, str):
            text = part
        elif part.value is not None:
            text = as_text(compute_expression(part.value, scope))
        if text is None:
            break
        known += text
    if not known:
        return None
    # What follows may be the rest of a name: `src/a-${each.key}.json`.
    return posixpath.dirname(known) or "."

"""Reads a file of Terraform's language into a document in Terraform's JSON syntax.

An error costs the block that it stands in. Reading goes on at the next block that begins at the
start of a line. https://developer.hashicorp.com/terraform/language/syntax/json
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.hcl.expressions import ExpressionReader
from terralive_terraform.discovery.hcl.syntax import (
    Expression,
    Literal,
    Object,
    Operation,
    Sequence,
    Source,
    Template,
    Tuple,
    UnreadableError,
)
from terralive_terraform.discovery.hcl.templates import HEREDOC

# What decides where a block ends: braces, and texts and comments that may hold braces.
_STRUCTURE: Final = re.compile(
    r'(?P<skipped>"[^"\\$%\r\n]*"|#[^\n]*|//[^\n]*|/\*.*?\*/)'
    rf'|(?P<open>\{{)|(?P<close>\}})|(?P<quote>")|(?P<heredoc>{HEREDOC.pattern})',
    re.DOTALL,
)
_LABEL: Final = r'[ \t]+(?:"[^"\n]*"|[\w-]+)'
# The beginning of a block, where reading goes on after an error.
_HEADER: Final = re.compile(
    rf"^(?:(?:resource|data|ephemeral){_LABEL}{_LABEL}"
    rf"|(?:module|variable|output|provider|check){_LABEL}"
    r"|locals|terraform|moved|import|removed)[ \t]*\{",
    re.MULTILINE,
)
_IS_VALUE: Final = re.compile(r"[\w-]+[ \t]*=")
_NEXT_VALUE: Final = re.compile(r"^[\w-]+[ \t]*=", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fault:
    """A place in a file that cannot be read.

    Attributes:
        line: its line, starting at 1.
        problem: what is wrong there.
        type: the type of the block that it stands in (`resource`); "" outside of blocks.
        labels: the labels of that block.
    """

    line: int
    problem: str
    type: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a file, without what cannot be read.

    Attributes:
        content: lists of blocks by their types, each labelled as in JSON syntax; in a variables
            file, values by their names.
        faults: what cannot be read, in the order of its lines.
    """

    content: dict[str, Json]
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class _Block:
    """A block of a file whose content has not been read yet.

    Attributes:
        type: its type.
        labels: its labels.
        start: the position of its first character.
        body: the position behind its opening brace.
    """

    type: str
    labels: tuple[str, ...]
    start: int
    body: int

    @property
    def header(self) -> tuple[str, tuple[str, ...]]:
        """Its type and its labels."""
        return self.type, self.labels


def read_document(
    content: bytes, wanted: Callable[[str, tuple[str, ...]], bool] = lambda *_: True
) -> Document:
    """Read a file.

    Args:
        content: the file's content.
        wanted: tells by type and labels whether a block is to be read. Faults in other blocks are
            not found, unless their end cannot be found either.
    """
    outline = _outline(content)
    found = {name: value for name, value in outline.values.items() if wanted(name, ())}
    faults = list(outline.faults)
    for block in outline.blocks:
        if not wanted(block.type, block.labels):
            continue
        try:
            body = _body_of(outline.text, block.body)
        except UnreadableError as fault:
            faults.append(_fault(outline.text, fault, *block.header))
            continue
        same_type = found.setdefault(block.type, [])
        if isinstance(same_type, list):
            same_type.append(_labelled(block.labels, body))
    return Document(found, tuple(sorted(faults, key=lambda fault: fault.line)))


def as_json(expression: Expression) -> Json:
    """Return an expression as Terraform's JSON syntax has it: `${…}` where it is no literal."""
    if not isinstance(expression, Source):
        return _literal_json(expression, "")
    return _literal_json(expression.expression, expression.text)


def as_expression(text: str) -> str:
    """Return a text of Terraform's JSON syntax as an expression; "" where it is empty or none.

    It stands in quotes, so it may stand within another expression.

    Args:
        text: the text, perhaps with `${…}`.
    """
    written = f'"{text}"'
    reader = ExpressionReader(written)
    try:
        read = reader.expression()
    except (UnreadableError, RecursionError):
        return ""
    is_text = isinstance(read.expression, Literal | Template)
    if not text or not is_text or reader.position < len(written):
        return ""
    return written


@dataclass(frozen=True, slots=True)
class _Outline:
    """The blocks of a file, and the values that stand outside of blocks."""

    text: str
    blocks: tuple[_Block, ...]
    values: dict[str, Json]
    faults: tuple[Fault, ...]


@lru_cache(maxsize=512)
def _outline(content: bytes) -> _Outline:
    """Find the blocks of a file. One command reads a file for several purposes."""
    faults: list[Fault] = []
    try:
        # Terraform accepts a byte order mark.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        faults.append(Fault(line, "it is not UTF-8"))
        text = content.decode("utf-8-sig", "replace")
    blocks: list[_Block] = []
    values: dict[str, Json] = {}
    reader = ExpressionReader(text)
    while True:
        reader.skip_lines()
        if reader.position >= len(text):
            break
        start = reader.position
        block = None
        try:
            block = _header(reader)
            if block is None:
                name, value = _value(reader)
                values[name] = value
            else:
                _skip_body(reader)
                blocks.append(block)
        except UnreadableError as fault:
            end = _next_block(text, start)
            if block is None:
                faults.append(_fault(text, fault))
            else:
                first = _first_fault(text, block, end, fault)
                faults.append(_fault(text, first, *block.header))
            reader = ExpressionReader(text, end)
    return _Outline(text, tuple(blocks), values, tuple(faults))


def _fault(
    text: str, fault: UnreadableError, kind: str = "", labels: tuple[str, ...] = ()
) -> Fault:
    line = text.count("\n", 0, fault.position) + 1
    return Fault(line, fault.problem, kind, labels)


def _first_fault(text: str, block: _Block, end: int, last: UnreadableError) -> UnreadableError:
    """Return the first fault in a block. Without it, the block's end might have been found.

    Args:
        text: the file's text.
        block: the block.
        end: the position at which reading goes on.
        last: the fault because of which the block's end was not found.
    """
    try:
        _body_of(text[:end], block.body)
    except UnreadableError as first:
        if first.position < end:
            return first
    return last


def _next_block(text: str, start: int) -> int:
    """Return the position of the next block behind an error in what begins at `start`."""
    following = _HEADER
    if _IS_VALUE.match(text, start):
        # A variables file.
        following = _NEXT_VALUE
    match = following.search(text, start + 1)
    if match is None:
        return len(text)
    return match.start()


def _header(reader: ExpressionReader) -> _Block | None:
    """Read a block's type and labels with its opening brace; None in front of a value."""
    start = reader.position
    kind = reader.word()
    if not kind:
        raise reader.fault("a block or an attribute has to begin here")
    reader.skip_blank()
    if reader.at("="):
        reader.position = start
        return None
    labels: list[str] = []
    while not reader.take("{"):
        if reader.at('"'):
            label = reader.quoted()
            labels.append("".join(part for part in label.parts if isinstance(part, str)))
        else:
            word = reader.word()
            if not word:
                raise reader.fault("`{` or `=` is missing", start)
            labels.append(word)
        reader.skip_blank()
    return _Block(kind, tuple(labels), start, reader.position)


def _value(reader: ExpressionReader) -> tuple[str, Json]:
    """Read an attribute: `name = expression`."""
    name = reader.word()
    reader.skip_blank()
    reader.require("=")
    value = _expression(reader)
    reader.skip_blank()
    is_end = reader.position >= len(reader.text) or reader.at("\n") or reader.at("}")
    if not is_end:
        raise reader.fault(f"the value of `{name}` has to end here")
    return name, value


def _expression(reader: ExpressionReader) -> Json:
    start = reader.position
    try:
        return as_json(reader.expression())
    except RecursionError:
        raise reader.fault("the expression is nested too deeply", start) from None


def _skip_body(reader: ExpressionReader) -> None:
    """Skip a block's content and its closing brace.

    Raises:
        UnreadableError: it has no end.
    """
    start = reader.position
    depth = 1
    while depth:
        match = _STRUCTURE.search(reader.text, reader.position)
        if match is None:
            raise reader.fault("the block has no end", start)
        reader.position = match.end()
        if match["open"]:
            depth += 1
        elif match["close"]:
            depth -= 1
        elif match["quote"] or match["heredoc"]:
            reader.position = match.start()
            _expression(reader)


@lru_cache(maxsize=8192)
def _body_of(text: str, position: int) -> dict[str, Json]:
    """Read a block's content. Nobody changes what it returns."""
    try:
        return _body(ExpressionReader(text, position))
    except RecursionError:
        raise UnreadableError(position, "the block is nested too deeply") from None


def _body(reader: ExpressionReader) -> dict[str, Json]:
    """Read attributes and nested blocks up to the closing brace."""
    found: dict[str, Json] = {}
    while True:
        reader.skip_lines()
        if reader.take("}"):
            return found
        block = _header(reader)
        if block is None:
            name, value = _value(reader)
            found[name] = value
            continue
        same_type = found.setdefault(block.type, [])
        if isinstance(same_type, list):
            same_type.append(_labelled(block.labels, _body(reader)))


def _labelled(labels: tuple[str, ...], body: Json) -> Json:
    """Put a block's content under its labels."""
    for label in reversed(labels):
        body = {label: body}
    return body


def _literal_json(expression: Expression, text: str) -> Json:
    match expression:
        case Literal(value):
            return value
        case Template(parts):
            return "".join(_in_template(part) for part in parts)
        case Tuple(items):
            return [as_json(item) for item in items]
        case Object(pairs):
            return {_key(key): as_json(value) for key, value in pairs}
        case Operation("-", None, Literal(int() | float() as value)):
            return -value
    if HEREDOC.search(text):
        # The word that ends a heredoc has a line of its own.
        text += "\n"
    return f"${{{text}}}"


def _key(key: Expression) -> str:
    value = as_json(key)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _in_template(part: str | Sequence) -> str:
    """Return a part of a template as JSON syntax has it, where `$${` is a literal `${`."""
    if isinstance(part, str):
        return part.replace("${", "$${").replace("%{", "%%{")
    return part.source

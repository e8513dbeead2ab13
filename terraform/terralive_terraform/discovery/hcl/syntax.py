"""The syntax tree of an expression in Terraform's language.

https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


class UnreadableError(Exception):
    """A text cannot be read as Terraform's language. It stays within `hcl`.

    Attributes:
        position: index of the character at which reading stopped.
        problem: what is wrong there, for a person.
    """

    def __init__(self, position: int, problem: str) -> None:
        super().__init__(problem)
        self.position = position
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a truth value or `null`."""

    value: int | float | bool | None


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence in a template: `${…}` or `%{…}`.

    Attributes:
        source: its text, with its braces.
        value: the expression in it; None for `%{…}`.
        trims_before: whether it removes the white space before it (`${~`).
        trims_after: whether it removes the white space behind it (`~}`).
    """

    source: str
    value: Expression | None
    trims_before: bool = False
    trims_after: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A quoted text or a heredoc: literal texts and sequences, in their order."""

    parts: tuple[str | Sequence, ...]


@dataclass(frozen=True, slots=True)
class Tuple:
    """A list of values: `[a, b]`."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Object:
    """Named values: `{ a = b }`. A key that is a plain word is a text."""

    pairs: tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True, slots=True)
class Name:
    """The first word of a reference: `var`, `aws_lambda_function`."""

    name: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """`of.name`."""

    of: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Index:
    """`of[key]`, also in its old form `of.0`."""

    of: Expression
    key: Expression


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function: `length(x)`."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """`left operator right`; `left` is None for `-x` and `!x`."""

    operator: str
    left: Expression | None
    right: Expression


@dataclass(frozen=True, slots=True)
class Conditional:
    """`condition ? yes : no`."""

    condition: Expression
    yes: Expression
    no: Expression


@dataclass(frozen=True, slots=True)
class Other:
    """An expression that terralive does not compute: `for`, a splat, expanded arguments."""


@dataclass(frozen=True, slots=True)
class Source:
    """An expression with its text."""

    expression: Expression
    text: str


Expression: TypeAlias = (
    "Literal | Template | Tuple | Object | Name | Attribute | Index | Call | Operation"
    " | Conditional | Other | Source"
)

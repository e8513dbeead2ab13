"""Computes expressions whose value needs no provider and no Terraform. Pure.

What it cannot compute is unknown. It never guesses.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from terralive_stub.shared.json_documents import Json, section
from terralive_terraform.discovery.hcl.expressions import ExpressionReader
from terralive_terraform.discovery.hcl.functions import call
from terralive_terraform.discovery.hcl.operators import chosen, combined, negated
from terralive_terraform.discovery.hcl.syntax import (
    Attribute,
    Call,
    Conditional,
    Expression,
    Index,
    Literal,
    Name,
    Object,
    Operation,
    Sequence,
    Source,
    Template,
    Tuple,
    UnreadableError,
)
from terralive_terraform.discovery.hcl.values import (
    Unknown,
    Value,
    as_number,
    as_text,
    as_truth,
    is_known,
)

# Attributes that have the value that the configuration gives them, by resource type.
_CONFIGURED: Final = {
    "archive_file": ("output_path", "source_dir", "source_file"),
    "aws_s3_object": ("bucket", "key", "source"),
    "aws_s3_bucket_object": ("bucket", "key", "source"),
}
# https://developer.hashicorp.com/terraform/language/expressions/references
_NAMED_VALUES: Final = ("var", "local", "path", "each", "count", "terraform")
# An expression without a value.
_UNDECLARED: Final = "${undeclared}"
_NEVER_NULL: Final = ("arn", "id")


@dataclass(slots=True)
class Scope:
    """The values and blocks that expressions of one module refer to.

    Attributes:
        variables: the values of its variables.
        locals: its local values, in Terraform's JSON syntax.
        paths: `path.module`, `path.root` and `path.cwd`, by their last words.
        resources: its managed resources, by type and label.
        data: its data sources, by type and label.
        iterators: the items for which `dynamic` blocks repeat, by the names of their iterators.
    """

    variables: Mapping[str, Value] = field(default_factory=dict)
    locals: Mapping[str, Json] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Json] = field(default_factory=dict)
    data: Mapping[str, Json] = field(default_factory=dict)
    iterators: Mapping[str, Value] = field(default_factory=dict)
    # Values that were computed, by name; those that are being computed are unknown.
    _computed: dict[str, Value] = field(default_factory=dict)

    def local(self, name: str) -> Value:
        """Return a local value."""
        return self.once(f"local.{name}", self.locals.get(name, _UNDECLARED))

    def once(self, name: str, value: Json) -> Value:
        """Compute a value that has a name; one that refers to itself is unknown."""
        if name not in self._computed:
            self._computed[name] = Unknown.MAYBE_NULL
            with suppress(RecursionError):
                self._computed[name] = compute(value, self)
        return self._computed[name]


def compute(value: Json, scope: Scope) -> Value:
    """Compute a value that stands in Terraform's JSON syntax.

    Args:
        value: an attribute's value; texts are templates.
        scope: what it refers to.
    """
    if isinstance(value, str):
        template = parsed_template(value)
        if template is None:
            return Unknown.MAYBE_NULL
        return _value(template, scope)
    if isinstance(value, list):
        return [compute(item, scope) for item in value]
    if isinstance(value, dict):
        return _with_names({name: compute(item, scope) for name, item in value.items()}, scope)
    return value


@lru_cache(maxsize=4096)
def parsed_template(text: str) -> Template | None:
    """Parse a text of JSON syntax; None if it is no template."""
    if "${" not in text and "%{" not in text:
        return Template((text,))
    try:
        return ExpressionReader(text).template()
    except (UnreadableError, RecursionError):
        return None


def expression_of(value: Json) -> Expression | None:
    """Return the expression of a text `${…}`; None for everything else."""
    if not isinstance(value, str):
        return None
    template = parsed_template(value)
    match template:
        case Template((Sequence(value=expression),)):
            return expression
    return None


def compute_expression(expression: Expression, scope: Scope) -> Value:
    """Compute an expression."""
    return _value(expression, scope)


def _with_names(found: dict[str, Value], scope: Scope) -> Value:
    """Compute the names of an object, too, where they are templates."""
    if not any("${" in name for name in found):
        return found
    named: dict[str, Value] = {}
    for name, value in found.items():
        key = as_text(compute(name, scope))
        if key is None:
            return Unknown.NOT_NULL
        named[key] = value
    return named


def _value(expression: Expression, scope: Scope) -> Value:  # noqa: PLR0911  # one for each kind
    match expression:
        case Source(inner):
            return _value(inner, scope)
        case Literal(value):
            return value
        case Template(parts):
            return _text(parts, scope)
        case Tuple(items):
            return [_value(item, scope) for item in items]
        case Object(pairs):
            return _object(pairs, scope)
        case Name() | Attribute() | Index():
            return _reference(expression, scope)
        case Call(function, arguments):
            return call(function, [_value(argument, scope) for argument in arguments])
        case Operation():
            return _operation(expression, scope)
        case Conditional():
            return _conditional(expression, scope)
    return Unknown.MAYBE_NULL


def _text(parts: tuple[str | Sequence, ...], scope: Scope) -> Value:
    """Compute a template. One that is a single expression has its value, whatever type it has."""
    match parts:
        case (Sequence(value=value),) if value is not None:
            return _value(value, scope)
    found = ""
    trims_next = False
    for part in parts:
        text: str | None
        if isinstance(part, str):
            text = part
            if trims_next and "\n" not in part:
                text = part.lstrip()
            elif trims_next:
                # It depends on where a heredoc's lines begin.
                return Unknown.NOT_NULL
            trims_next = False
        elif part.value is None:
            return Unknown.NOT_NULL
        else:
            text = as_text(_value(part.value, scope))
            if part.trims_before and "\n" in found:
                return Unknown.NOT_NULL
            if part.trims_before:
                found = found.rstrip()
            trims_next = part.trims_after
        if text is None:
            return Unknown.NOT_NULL
        found += text
    return found


def _object(pairs: tuple[tuple[Expression, Expression], ...], scope: Scope) -> Value:
    found: dict[str, Value] = {}
    for key, value in pairs:
        name = as_text(_value(key, scope))
        if name is None:
            return Unknown.NOT_NULL
        found[name] = _value(value, scope)
    return found


def _reference(expression: Expression, scope: Scope) -> Value:
    """Compute `var.x`, `local.x`, `path.x` and what they contain."""
    match expression:
        case Attribute(Name(first), name) if first in _NAMED_VALUES:
            return _named_value(first, name, scope)
        case Attribute(of, name):
            return _of_resource(of, name, scope) or _item(_value(of, scope), name)
        case Index(of, key):
            return _item(_value(of, scope), _value(key, scope))
        case Name(name):
            return scope.iterators.get(name, Unknown.MAYBE_NULL)
    return Unknown.MAYBE_NULL


def _named_value(first: str, name: str, scope: Scope) -> Value:
    if first == "var":
        return scope.variables.get(name, Unknown.MAYBE_NULL)
    if first == "local":
        return scope.local(name)
    if first == "path":
        return scope.paths.get(name, Unknown.NOT_NULL)
    if (first, name) == ("each", "value"):
        return Unknown.MAYBE_NULL
    return Unknown.NOT_NULL


def _of_resource(of: Expression, name: str, scope: Scope) -> Value:
    """Compute an attribute of a resource or one of its instances; None for another reference."""
    resource = _resource(of, scope)
    if resource is not None:
        return _configured(resource, name, scope)
    if isinstance(of, Index):
        of = of.of
    match of:
        case Attribute(Name(kind), _) if kind.startswith("aws_") and name in _NEVER_NULL:
            return Unknown.NOT_NULL
        case Attribute(Attribute(Name("data"), _), _) if name in _NEVER_NULL:
            return Unknown.NOT_NULL
    return None


def _configured(resource: Resource, name: str, scope: Scope) -> Value:
    """Compute an attribute of a resource, where it is what the configuration says."""
    if name in _CONFIGURED.get(resource.type, ()) and name in resource.block:
        value = scope.once(f"{id(resource.block)}.{name}", resource.block[name])
        if is_known(value):
            return value
    if name in _NEVER_NULL:
        return Unknown.NOT_NULL
    return Unknown.MAYBE_NULL


def _item(of: Value, key: Value) -> Value:
    if isinstance(of, dict) and isinstance(key, str) and key in of:
        return of[key]
    number = as_number(key)
    if isinstance(of, list) and isinstance(number, int) and 0 <= number < len(of):
        return of[number]
    return Unknown.MAYBE_NULL


def _operation(expression: Operation, scope: Scope) -> Value:
    right = _value(expression.right, scope)
    if expression.left is None:
        return negated(expression.operator, right)
    return combined(expression.operator, _value(expression.left, scope), right)


def _conditional(expression: Conditional, scope: Scope) -> Value:
    condition = as_truth(_value(expression.condition, scope))
    return chosen(condition, _value(expression.yes, scope), _value(expression.no, scope))


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource or data source that an expression names.

    Attributes:
        type: its type.
        label: its label.
        block: its block.
    """

    type: str
    label: str
    block: Mapping[str, Json]


def referenced_resource(value: Json, scope: Scope) -> Resource | None:
    """Return the resource one of whose attributes a value is, also by way of local values.

    The hash of a file counts as its path.
    """
    followed: set[str] = set()
    expression = expression_of(value)
    while True:
        match expression:
            case Call("filebase64sha256" | "filesha256", (argument,)):
                expression = argument
            case Source(inner):
                expression = inner
            case Attribute(Name("local"), name) if name not in followed:
                followed.add(name)
                expression = expression_of(scope.locals.get(name))
            case Attribute(of, _):
                return _resource(of, scope)
            case _:
                return None


def _resource(of: Expression, scope: Scope) -> Resource | None:
    """Return the resource or data source that an expression is, also one of its instances."""
    if isinstance(of, Index):
        of = of.of
    match of:
        case Attribute(Attribute(Name("data"), kind), label):
            declared = section(scope.data, kind)
        case Attribute(Name(kind), label):
            declared = section(scope.resources, kind)
        case _:
            return None
    if label not in declared:
        return None
    return Resource(kind, label, section(declared, label))

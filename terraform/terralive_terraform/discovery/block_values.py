"""The values in a resource's block, and which of its attributes and blocks are set. Pure.

An attribute that is null, and a `dynamic` block that repeats zero times, are not set. Modules pass
all optional settings on in this way, so it decides what such a function is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from terralive_stub.shared.json_documents import Json, text
from terralive_terraform.discovery.hcl.folders import dynamic_blocks, first_block
from terralive_terraform.discovery.hcl.scope import Scope, compute
from terralive_terraform.discovery.hcl.values import (
    Unknown,
    Value,
    in_json_syntax,
    is_empty,
    is_null,
)

# Arguments that Terraform itself takes. They are not computed, because they name resources.
_META: Final = ("provider", "depends_on", "lifecycle", "connection", "provisioner", "//")


@dataclass(frozen=True, slots=True)
class BlockValues:
    """A block whose expressions are computed as far as possible.

    Attributes:
        block: its attributes and nested blocks, in Terraform's JSON syntax, without those that are
            not set. Expressions that only Terraform can compute stand as they were.
        is_set: the names of those that are set.
        undecided: the names of those of which only Terraform knows whether they are set.
    """

    block: Mapping[str, Json]
    is_set: frozenset[str]
    undecided: frozenset[str]


def block_values(block: Mapping[str, Json], scope: Scope) -> BlockValues:
    """Compute a block.

    Args:
        block: the block in Terraform's JSON syntax.
        scope: what its expressions refer to.
    """
    found: dict[str, Json] = {}
    is_set: set[str] = set()
    undecided: set[str] = set()
    for name, expression in _expanded(block, scope, found, undecided).items():
        if name in _META:
            found[name] = expression
            is_set.add(name)
            continue
        value = compute(expression, scope)
        decision = _is_set(name, value)
        if decision is False:
            continue
        found[name] = in_json_syntax(value, expression)
        if decision is None:
            undecided.add(name)
        else:
            is_set.add(name)
    return BlockValues(found, frozenset(is_set), frozenset(undecided - is_set))


def repeats_never(block: Mapping[str, Json], scope: Scope) -> bool:
    """Tell whether `count` or `for_each` of a block certainly leaves it out."""
    if compute(block.get("count"), scope) in (0, "0"):
        return True
    return is_empty(compute(block.get("for_each"), scope)) is True


def _expanded(
    block: Mapping[str, Json], scope: Scope, found: dict[str, Json], undecided: set[str]
) -> dict[str, Json]:
    """Return a block in which `dynamic` blocks are the blocks that they make.

    Those that only Terraform can repeat stay as they are, in `found`, and their types are added to
    `undecided`.
    """
    expanded = {name: value for name, value in block.items() if name != "dynamic"}
    remaining: list[Json] = []
    for name, dynamic in dynamic_blocks(block):
        repeated = compute(dynamic.get("for_each"), scope)
        if not isinstance(repeated, list | dict):
            remaining.append({name: dict(dynamic)})
            undecided.add(name)
            continue
        made = list(_made_blocks(name, dynamic, repeated, scope))
        before = expanded.get(name)
        if isinstance(before, list):
            made = [*before, *made]
        if made:
            expanded[name] = made
    if remaining:
        found["dynamic"] = remaining
    return expanded


def _made_blocks(
    name: str, dynamic: Mapping[str, Json], repeated: Value, scope: Scope
) -> Iterator[Json]:
    """Yield the blocks that a `dynamic` block makes.

    https://developer.hashicorp.com/terraform/language/expressions/dynamic-blocks
    """
    content: Json = dict(first_block(dynamic.get("content")))
    iterator = text(dynamic, "iterator").removeprefix("${").removesuffix("}") or name
    pairs: list[tuple[Value, Value]] = []
    if isinstance(repeated, dict):
        pairs.extend(repeated.items())
    elif isinstance(repeated, list):
        pairs.extend(enumerate(repeated))
    for key, value in pairs:
        item: dict[str, Value] = {"key": key, "value": value}
        inner = replace(scope, iterators={**scope.iterators, iterator: item})
        yield in_json_syntax(compute(content, inner), content)


def _is_set(name: str, value: Value) -> bool | None:
    """Tell whether an attribute or block is set; None if only Terraform knows.

    A function whose `vpc_config` names no subnets is in no VPC:
    https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lambda_function
    """
    null = is_null(value)
    if null is None:
        return None
    if null or value == []:
        return False
    if name == "vpc_config":
        return _has_subnets(value)
    return True


def _has_subnets(value: Value) -> bool | None:
    config = value
    if isinstance(value, list) and value:
        config = value[0]
    if not isinstance(config, dict):
        return None
    subnets = config.get("subnet_ids")
    if isinstance(subnets, list):
        return bool(subnets)
    null = is_null(subnets)
    if null is None or isinstance(subnets, Unknown):
        return None
    return not null

"""Resources and data sources that an attribute refers to, across modules. Pure.

Values are better than references: references are followed where a value is not known before an
apply. What a `local` refers to is not in a plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from terralive_stub.shared.json_documents import Json, items, section
from terralive_terraform.addresses import all_keys, without_keys
from terralive_terraform.discovery.archives import S3_OBJECTS
from terralive_terraform.evaluation.document import Evaluated, Evaluation

# Attributes of a function that say where its zip is.
CODE_ATTRIBUTES: Final = (
    "filename",
    "s3_key",
    "s3_object_version",
    "source_code_hash",
    "depends_on",
)
_REFERENCE: Final = re.compile(
    r'(?P<address>(?:data\.)?[a-z][\w-]*\.[\w-]+)(?P<key>\[(?:"[^"]*"|\d+)\])?(?:\.(?P<name>[\w-]+))?'
)
_STEP: Final = re.compile(r'module\.(?P<name>[\w-]+)(?P<key>\[(?:"(?:[^"\\]|\\.)*"|\d+)\])?')
_MODULE: Final = re.compile(r'module\.[\w-]+(\[(?:"[^"]*"|\d+)\])?')
_MAX_DEPTH: Final = 12


def referred(
    evaluation: Evaluation, item: str, module: str, attributes: Iterable[str]
) -> tuple[Evaluated, ...]:
    """Return the instances that attributes of an instance refer to, in the order of attributes.

    Args:
        evaluation: the plan.
        item: the instance's address.
        module: the address of its module, with instance keys.
        attributes: the names of attributes; `depends_on`, too.
    """
    found: dict[str, Evaluated] = {}
    for attribute in attributes:
        written = _precise(evaluation.references(item, attribute))
        if attribute == "depends_on":
            names = items(evaluation.block(item), attribute)
            written = tuple(name for name in names if isinstance(name, str))
        for instance in _found(evaluation, written, item, module):
            found.setdefault(instance.address, instance)
    return tuple(found.values())


def referred_in(
    evaluation: Evaluation, expression: Json, item: str, module: str
) -> tuple[Evaluated, ...]:
    """Return the instances that an expression refers to, also in nested blocks.

    Args:
        evaluation: the plan.
        expression: the expressions of an attribute or of nested blocks.
        item: the address of the instance that they belong to.
        module: the address of its module, with instance keys.
    """
    written = tuple(_nested_references(expression))
    found = {one.address: one for one in _found(evaluation, written, item, module)}
    return tuple(found.values())


def _found(
    evaluation: Evaluation, written: Sequence[str], item: str, module: str
) -> Iterator[Evaluated]:
    """Yield the instances that references of an instance are about."""
    for reference in written:
        # `module.service.arns["a"]` is about the instance of this key, wherever it is. The position
        # in a list says nothing.
        keys = frozenset(key for key in all_keys(reference) if key.startswith('["'))
        for target, place in _targets(evaluation, (reference,), module, 0):
            found = _instances(evaluation, target, place, item, module)
            same = [one for one in found if not keys.isdisjoint(all_keys(one.address))]
            yield from same or found


def _nested_references(expression: Json) -> Iterator[str]:
    if isinstance(expression, list):
        for part in expression:
            yield from _nested_references(part)
    elif isinstance(expression, dict):
        yield from _references(expression)
        for part in expression.values():
            yield from _nested_references(part)


def _targets(
    evaluation: Evaluation, written: Sequence[str], module: str, depth: int
) -> Iterator[tuple[str, str]]:
    """Yield address and module of each resource that is referred to, with the keys as written."""
    if depth > _MAX_DEPTH:
        return
    for reference in written:
        match = _REFERENCE.match(reference)
        if match is None:
            continue
        kind, _, name = match["address"].partition(".")
        if kind == "var" and module:
            argument = section(section(evaluation.call(module), "expressions"), name)
            outer = module.rpartition("module.")[0].rstrip(".")
            yield from _targets(evaluation, _references(argument), outer, depth + 1)
        elif kind == "module":
            inner = f"{module}.{match['address']}{match['key'] or ''}".lstrip(".")
            for output in _outputs(evaluation, inner, match["name"]):
                yield from _targets(evaluation, _references(output), inner, depth + 1)
        elif kind not in {"var", "local", "path", "each", "count", "self", "terraform"}:
            yield match["address"] + (match["key"] or ""), module


def _outputs(evaluation: Evaluation, module: str, name: str | None) -> Iterator[Mapping[str, Json]]:
    """Yield the expressions of the outputs that a reference to a module is about.

    `module.package[each.key].zip` is `module.package` in a plan: any of its outputs.
    """
    outputs = section(section(evaluation.call(module), "module"), "outputs")
    for known in outputs if name is None else (name,):
        yield section(section(outputs, known), "expression")


def _references(expression: Mapping[str, Json]) -> tuple[str, ...]:
    written = items(expression, "references")
    return _precise(tuple(item for item in written if isinstance(item, str)))


def _precise(written: tuple[str, ...]) -> tuple[str, ...]:
    """Return the references of an expression, without all instances where one is meant.

    Terraform writes `aws_sqs_queue.q["eu"].arn` also as `aws_sqs_queue.q["eu"]` and
    `aws_sqs_queue.q`, and `module.package.zip` also as `module.package`.
    """
    return tuple(item for item in written if not _is_told_by(item, written))


def _is_told_by(item: str, written: tuple[str, ...]) -> bool:
    """Tell whether another reference of an expression says more than one does."""
    more = [f"{item}["]
    if _MODULE.fullmatch(item):
        more.append(f"{item}.")
    return any(other.startswith(tuple(more)) for other in written)


def _instances(
    evaluation: Evaluation, target: str, place: str, origin: str, module: str
) -> tuple[Evaluated, ...]:
    """Return the instances of a target that an instance may refer to."""
    address = f"{place}.{target}".lstrip(".")
    found = [
        item
        for item in evaluation.instances_at(without_keys(address))
        if _is_related(item.module, module) and _is_related(item.module, place)
    ]
    if "[" in target:
        found = [item for item in found if f".{item.address}".endswith(f".{target}")]
    if len(found) > 1:
        # An expression with `each.key` or `count.index` refers to the instance of the same key.
        keys = [frozenset(all_keys(item.address)) for item in found]
        own = set(all_keys(origin)) - frozenset.intersection(*keys)
        same = [item for item, of_item in zip(found, keys, strict=True) if own & of_item]
        if same:
            return tuple(same)
    return tuple(found)


def _is_related(module: str, other: str) -> bool:
    """Tell whether two modules belong to the same instances of the modules around both.

    A module without a key stands for any instance of it.
    """
    for one, two in zip(_STEP.finditer(module), _STEP.finditer(other), strict=False):
        if one["name"] != two["name"]:
            return True
        if one["key"] and two["key"] and one["key"] != two["key"]:
            return False
    return True


def reachable(evaluation: Evaluation, address: str, module: str) -> tuple[Evaluated, ...]:
    """Return all instances that an instance's code depends on, the nearest first.

    Args:
        evaluation: the plan.
        address: the instance's address.
        module: the address of its module, with instance keys.
    """
    found: dict[str, Evaluated] = {}
    pending: list[tuple[str, str, tuple[str, ...]]] = [(address, module, CODE_ATTRIBUTES)]
    for _ in range(_MAX_DEPTH):
        following: list[tuple[str, str, tuple[str, ...]]] = []
        for at, place, attributes in pending:
            for item in referred(evaluation, at, place, attributes):
                if item.address not in found:
                    found[item.address] = item
                    names = tuple(section(evaluation.block(item.address), "expressions"))
                    if not item.type.startswith("aws_") or item.type in S3_OBJECTS:
                        following.append((item.address, item.module, (*names, "depends_on")))
        pending = following
    return tuple(found.values())

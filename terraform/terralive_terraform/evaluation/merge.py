"""Adds the values of a plan to the functions that static reading has found. Pure.

Terraform computes what static reading cannot: variables, locals, `for_each`, inputs of modules. So
its values come first. Static reading knows where a function is declared, and which attributes its
block names: an override has to unset these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from terralive_terraform.addresses import without_keys
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.planned import DEFAULT_ARCHITECTURE, PlannedFunction

T = TypeVar("T")


def with_planned(
    declared: Sequence[DeclaredFunction], planned: Iterable[PlannedFunction]
) -> tuple[DeclaredFunction, ...]:
    """Return the functions that exist after an apply, with what the plan says of them.

    A declared function without an instance (`count = 0`) is left out. A function that static
    reading has not found (a file that it cannot read) is added.

    Args:
        declared: the functions that static reading has found.
        planned: all functions of the plan.
    """
    instances: dict[str, list[PlannedFunction]] = {}
    for instance in planned:
        instances.setdefault(without_keys(instance.address), []).append(instance)
    known = {function.address: function for function in declared}
    found: list[DeclaredFunction] = []
    for address in dict.fromkeys((*known, *instances)):
        if address in instances:
            function = known.get(address) or _only_planned(address, instances[address])
            found.append(_merged(function, instances[address]))
    return tuple(found)


def _only_planned(address: str, instances: Sequence[PlannedFunction]) -> DeclaredFunction:
    """Return a function of the plan that static reading has not found."""
    names: set[str] = set()
    for item in instances:
        names |= item.declared
    repeated = None
    if any(item.address.endswith("]") for item in instances):
        repeated = "for_each"
    return DeclaredFunction(
        address,
        address.rpartition(".")[2],
        attributes=frozenset(names),
        repeated=repeated,
        module_repeated=any(without_keys(item.module) != item.module for item in instances),
    )


def _merged(function: DeclaredFunction, instances: Sequence[PlannedFunction]) -> DeclaredFunction:
    names: set[str] = set()
    for item in instances:
        names |= item.environment_names
    timeouts = [item.timeout for item in instances if item.timeout is not None]
    return replace(
        function,
        handler=_common(item.handler for item in instances),
        runtime=_common(item.runtime for item in instances),
        function_name=_common(item.name for item in instances),
        package_type=_common(item.package_type for item in instances),
        architecture=_architecture(function, instances),
        timeout=max(timeouts, default=function.timeout),
        attributes=_set(function, instances),
        undecided=_undecided(function, instances),
        code_elsewhere=any(item.code_elsewhere for item in instances),
        environment_names=frozenset(names),
        environment_known=all(item.environment_known for item in instances),
        queue_visibilities=_visibilities(instances),
        gateways=_gateways(instances),
        streams=any(item.triggers.streams for item in instances),
        instances=tuple(instances),
    )


def _visibilities(instances: Sequence[PlannedFunction]) -> tuple[int | None, ...]:
    found: list[int | None] = []
    for item in instances:
        found += item.triggers.queue_visibilities
    return tuple(found)


def _gateways(instances: Sequence[PlannedFunction]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for item in instances:
        found.update(dict.fromkeys(item.triggers.gateways))
    return tuple(found)


def _set(function: DeclaredFunction, instances: Sequence[PlannedFunction]) -> frozenset[str]:
    """Return the attributes and blocks of the block that have a value in an instance."""
    found: set[str] = set()
    for item in instances:
        declared = item.declared | function.attributes | function.undecided
        found |= declared & item.is_set
        # Its value exists after an apply only, but the configuration says that there is one.
        found |= function.attributes & item.unknown
    return frozenset(found)


def _undecided(function: DeclaredFunction, instances: Sequence[PlannedFunction]) -> frozenset[str]:
    """Return the attributes and blocks of the block that may have a value after an apply."""
    found: set[str] = set()
    for item in instances:
        found |= (item.declared | function.undecided) & item.unknown
    return frozenset(found - _set(function, instances))


def _architecture(function: DeclaredFunction, instances: Sequence[PlannedFunction]) -> str | None:
    """Return the architecture; a block that names none has AWS's default.

    Terraform shows such a default only after an apply, also that of `architectures = null`, which
    static reading knows.
    """
    found: list[str | None] = []
    for item in instances:
        architecture = item.architecture
        if architecture is None and "architectures" not in item.declared:
            architecture = DEFAULT_ARCHITECTURE
        elif architecture is None:
            architecture = function.architecture
        found.append(architecture)
    return _common(found)


def _common(values: Iterable[T | None]) -> T | None:
    """Return the value that all instances have; None where they differ, or one is not known."""
    different = set(values)
    if len(different) != 1:
        return None
    return different.pop()

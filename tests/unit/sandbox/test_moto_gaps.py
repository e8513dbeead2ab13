"""Every method of moto is replaced at most once, so the order of the services does not matter."""

from __future__ import annotations

import ast
import inspect
import random
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from terralive_sandbox.control import moto_gaps
from terralive_sandbox.control.moto_gaps.replacements import ReplacementError, Replacements
from terralive_sandbox.triggers.deliveries import Deliveries
from terralive_sandbox.triggers.event_source_mappings.mapping_pollers import MappingPollers

DELIVERIES = cast("Deliveries", object())
POLLERS = cast("MappingPollers", SimpleNamespace(arrived=print))


def two(_self: object) -> int:
    return 2


class Queue:
    """Stands for a class of moto."""

    def size(self) -> int:
        return 1


def declared(seed: int) -> Replacements:
    """Return all replacements, declared by the services in an order that the seed decides."""
    declarations = moto_gaps.declarations(DELIVERIES, print, POLLERS, 1000, str)
    random.Random(seed).shuffle(declarations)
    replacements = Replacements()
    for declare in declarations:
        declare(replacements)
    return replacements


def described(replacements: Replacements) -> tuple[dict[str, str], set[str]]:
    """Return the targets with the names of what replaces them, and the paths that are added."""
    attributes = {str(target): name_of(new) for target, new in replacements.attributes.items()}
    return attributes, {path.pattern for path in replacements.paths}


def name_of(new: object) -> str:
    function = new.fget if isinstance(new, property) else new
    return str(getattr(function, "__qualname__", new))


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_the_services_does_not_matter(seed: int) -> None:
    assert described(declared(seed)) == described(declared(-1))


def test_services_see_motos_own_methods_while_they_declare() -> None:
    before = {t: inspect.getattr_static(t.owner, t.name, None) for t in declared(0).attributes}
    declared(1)
    after = {t: inspect.getattr_static(t.owner, t.name, None) for t in before}
    assert len(before) > 70
    assert after == before


def test_a_method_is_replaced_once_only() -> None:
    replacements = Replacements()
    replacements.replace(Queue, "size", two)
    with pytest.raises(ReplacementError, match=r"Queue\.size is replaced twice"):
        replacements.replace(Queue, "size", two)
    with pytest.raises(ReplacementError, match=r"Queue\.size is replaced twice"):
        replacements.add(Queue, "size", two)


def test_only_what_exists_can_be_replaced() -> None:
    with pytest.raises(ReplacementError, match=r"moto has no .*Queue\.length"):
        Replacements().replace(Queue, "length", two)


def test_nothing_changes_before_all_services_have_declared() -> None:
    class Topic:
        def size(self) -> int:
            return 1

    paths: dict[str, object] = {}
    replacements = Replacements()
    replacements.replace(Topic, "size", two)
    replacements.add_path(paths, "/topics$", print)
    assert (Topic().size(), paths) == (1, {})
    replacements.apply()
    assert (Topic().size(), paths) == (2, {"/topics$": print})


def test_moto_still_lacks_what_is_added() -> None:
    """If this fails, moto has the method by now: compare it with ours, and delete ours."""
    assert [str(t) for t in declared(0).added if hasattr(t.owner, t.name)] == []


def test_no_module_replaces_anything_of_moto_by_itself() -> None:
    folder = Path(str(moto_gaps.__file__)).parent
    files = sorted(folder.rglob("*.py"))
    assert len(files) > 10
    assert {f"{file.name}: {name}" for file in files for name in assigned(file)} == set()


def assigned(file: Path) -> set[str]:
    """Return the attributes of names imported from moto that a module assigns."""
    tree = ast.parse(file.read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("moto")
        for alias in node.names
    }
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            owner = target.value if isinstance(target, ast.Attribute) else None
            if isinstance(owner, ast.Name) and owner.id in imported:
                found.add(ast.unparse(target))
    return found

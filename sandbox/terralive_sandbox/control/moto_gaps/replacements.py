"""A list of everything that the sandbox replaces in moto, so that nothing is replaced twice.

The services declare their replacements first; `apply` puts all of them in place. So every service
sees moto's own methods while it declares, and the order of the services does not matter.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

Owner: TypeAlias = type | ModuleType


class ReplacementError(Exception):
    """The list contradicts itself or the installed moto."""


@dataclass(frozen=True, slots=True)
class Target:
    """One attribute of a class or module of moto."""

    owner: Owner
    name: str

    def __str__(self) -> str:
        names = (getattr(self.owner, "__module__", None), self.owner.__name__, self.name)
        return ".".join(name for name in names if name is not None)


@dataclass(frozen=True, slots=True)
class AddedPath:
    """One path that moto does not know, in one of its tables of URLs."""

    table: MutableMapping[str, Any]
    pattern: str
    handler: object


class Replacements:
    """The replacements of one sandbox. Not thread-safe: use it before moto answers anything."""

    def __init__(self) -> None:
        # What is put in the place of moto's attributes.
        self.attributes: dict[Target, object] = {}
        # The targets among `attributes` that moto does not have.
        self.added: set[Target] = set()
        # Paths for moto's routers.
        self.paths: list[AddedPath] = []

    def replace(self, owner: Owner, name: str, new: object) -> None:
        """Declare what replaces an attribute of moto.

        Raises:
            ReplacementError: moto has no such attribute, or it is replaced already.
        """
        target = Target(owner, name)
        if not hasattr(owner, name):
            raise ReplacementError(f"moto has no {target} that could be replaced")
        self._declare(target, new)

    def add(self, owner: Owner, name: str, new: object) -> None:
        """Declare an attribute that moto lacks.

        Raises:
            ReplacementError: it is declared already.
        """
        target = Target(owner, name)
        self._declare(target, new)
        self.added.add(target)

    def add_path(self, table: MutableMapping[str, Any], pattern: str, handler: object) -> None:
        """Declare a path that moto lacks in a table of URLs (`url_paths` of a service)."""
        self.paths.append(AddedPath(table, pattern, handler))

    def apply(self) -> None:
        """Put everything that was declared in place."""
        for target, new in self.attributes.items():
            setattr(target.owner, target.name, new)
        for path in self.paths:
            path.table[path.pattern] = path.handler

    def _declare(self, target: Target, new: object) -> None:
        if target in self.attributes:
            raise ReplacementError(f"{target} is replaced twice")
        self.attributes[target] = new

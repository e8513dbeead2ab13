"""Selection of the functions that become live, from those that the configuration declares. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from terralive_terraform.addresses import without_keys
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.discovery.files import Module
from terralive_terraform.evaluation.aliases import PlannedAlias
from terralive_terraform.evaluation.merge import with_planned
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.substitution.rules import (
    ByApi,
    LiveSettings,
    NotLive,
    Substitution,
    alias_at_latest,
    substitute,
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Functions of an app, and how they become live.

    Attributes:
        modules: the modules that the functions are selected from.
        directory: the folder that Terraform runs in.
        live: the settings that they are selected by; None for the app as its configuration says.
        functions: the functions that Terraform makes live, or all functions where `live` is None.
        by_api: the functions that Lambda's API makes live.
        refused: the functions that were wanted live and stay as they are.
        substitutions: how functions become live, by address, where files make them live.
        planned: what a plan of the app without stubs says of functions; None where nothing was
            planned.
        aliases: the aliases that the plan has.
        placeholders: changes of blocks whose files are missing, by address (see `missing_builds`).
            A function that becomes live needs none.
    """

    modules: tuple[Module, ...]
    directory: Path
    live: LiveSettings | None
    functions: tuple[DeclaredFunction, ...]
    refused: tuple[NotLive, ...] = ()
    substitutions: Mapping[str, Substitution] = field(default_factory=dict)
    planned: tuple[PlannedFunction, ...] | None = None
    aliases: tuple[PlannedAlias, ...] = ()
    placeholders: Mapping[str, Substitution] = field(default_factory=dict, repr=False)
    by_api: tuple[DeclaredFunction, ...] = ()

    def evaluated(
        self, planned: Sequence[PlannedFunction], aliases: Sequence[PlannedAlias] = ()
    ) -> Selection:
        """Return the selection with what a plan of the app without stubs says of its functions.

        Args:
            planned: the functions of the plan.
            aliases: its aliases.
        """
        declared = [function for module in self.modules for function in module.functions]
        known = Module(self.directory, with_planned(declared, planned))
        selected = select((known,), self.live, self.directory)
        return replace(
            selected,
            planned=tuple(planned),
            aliases=tuple(aliases),
            placeholders=self.placeholders,
        )

    def with_placeholders(self, placeholders: Mapping[str, Substitution]) -> Selection:
        """Return the selection with placeholders for what nobody has built.

        Args:
            placeholders: the changes of functions and other blocks, by address.
        """
        return replace(self, placeholders={**self.placeholders, **placeholders})

    def without(self, addresses: Collection[str]) -> Selection:
        """Return the selection in which some functions stay as they are."""
        if self.live is None or not addresses:
            return self
        live = replace(self.live, exclude=(*self.live.exclude, *addresses))
        selected = select(self.modules, live, self.directory)
        return replace(
            selected,
            planned=self.planned,
            aliases=self.aliases,
            placeholders=self.placeholders,
        )

    def changes_by_call(self) -> dict[str, dict[str, Substitution]]:
        """Return the substitutions by the address in the module, for each call of a module.

        A call is named as in Terraform's manifest of modules: "" for the root module, and
        `orders.jobs` for `module.orders.module.jobs`.
        """
        changes: dict[str, dict[str, Substitution]] = {}
        moved = {address: alias_at_latest() for address in self._movable_aliases()}
        known = {**self.placeholders, **self.substitutions, **moved}
        for address, substitution in known.items():
            *modules, kind, label = address.split(".")
            name = f"{kind}.{label}"
            if modules[-1:] == ["data"] and len(modules) % 2:
                name = f"data.{name}"
            call = ".".join(modules[1::2])
            changes.setdefault(call, {})[name] = substitution
        return changes

    def _movable_aliases(self) -> Iterator[str]:
        """Yield the aliases, without instance keys, that can point at the stubs.

        Terraform changes all instances of one block in the same way.
        """
        if self.live is None:
            return
        live: set[str] = set()
        for function in self.functions:
            live.update(instance.address for instance in function.instances or ())
        blocks: dict[str, list[PlannedAlias]] = {}
        for alias in self.aliases:
            blocks.setdefault(without_keys(alias.address), []).append(alias)
        for address, aliases in blocks.items():
            if all(not alias.kept and alias.is_of(live) for alias in aliases):
                yield address


def select(
    modules: Sequence[Module],
    live: LiveSettings | None,
    directory: Path,
) -> Selection:
    """Decide which functions become live, and how.

    Args:
        modules: the app's modules with their functions.
        live: the settings; None for the app as its configuration says.
        directory: the folder that Terraform runs in. The stub's path is written relative to it.
    """
    declared = [function for module in modules for function in module.functions]
    if live is None:
        return Selection(tuple(modules), directory, None, tuple(declared))
    seen = live.seen_from(directory)
    chosen: list[DeclaredFunction] = []
    by_api: list[DeclaredFunction] = []
    refused: list[NotLive] = []
    substitutions: dict[str, Substitution] = {}
    for function in declared:
        if not live.selects(function):
            continue
        decision = substitute(function, seen)
        if isinstance(decision, NotLive):
            refused.append(decision)
        elif isinstance(decision, ByApi):
            by_api.append(function)
        else:
            substitutions[function.address] = decision
            chosen.append(function)
    return Selection(
        tuple(modules),
        directory,
        live,
        tuple(chosen),
        tuple(refused),
        substitutions,
        by_api=tuple(by_api),
    )


def addresses_of(functions: Sequence[DeclaredFunction]) -> frozenset[str]:
    """Return the functions' addresses."""
    return frozenset(function.address for function in functions)

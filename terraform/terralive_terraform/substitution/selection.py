"""Selection of the functions that become live, from those that the configuration declares. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.discovery.files import Module
from terralive_terraform.substitution.rules import LiveSettings, NotLive, Substitution, substitute


@dataclass(frozen=True, slots=True)
class Selection:
    """Functions of an app, and how they become live.

    Attributes:
        modules: the modules that the functions are selected from.
        directory: the folder that Terraform runs in.
        live: the settings that they are selected by; None for the app as its configuration says.
        live_in_program: the addresses of the functions that the app's own program has made live
            already (see `aspect`). No file has to be written for them.
        functions: the functions that become live, or all functions where `live` is None.
        refused: the functions that were wanted live and stay as they are.
        substitutions: how functions become live, by address, where files make them live.
    """

    modules: tuple[Module, ...]
    directory: Path
    live: LiveSettings | None
    live_in_program: frozenset[str]
    functions: tuple[DeclaredFunction, ...]
    refused: tuple[NotLive, ...] = ()
    substitutions: Mapping[str, Substitution] = field(default_factory=dict)

    def without(self, addresses: Collection[str]) -> Selection:
        """Return the selection in which some functions stay as they are."""
        if self.live is None or not addresses:
            return self
        live = replace(self.live, exclude=(*self.live.exclude, *addresses))
        in_program = self.live_in_program - frozenset(addresses)
        return select(self.modules, live, self.directory, in_program)

    def in_module(self, module: Module) -> dict[str, Substitution]:
        """Return the substitutions in one module's folder, by the functions' labels."""
        return {
            function.label: self.substitutions[function.address]
            for function in module.functions
            if function.address in self.substitutions
        }


def select(
    modules: Sequence[Module],
    live: LiveSettings | None,
    directory: Path,
    live_in_program: frozenset[str] = frozenset(),
) -> Selection:
    """Decide which functions become live, and how.

    Args:
        modules: the app's modules with their functions.
        live: the settings; None for the app as its configuration says.
        directory: the folder that Terraform runs in. The stub's path is written relative to it.
        live_in_program: the addresses of functions that are live already.
    """
    declared = [function for module in modules for function in module.functions]
    if live is None:
        return Selection(tuple(modules), directory, None, live_in_program, tuple(declared))
    seen = live.seen_from(directory)
    chosen: list[DeclaredFunction] = []
    refused: list[NotLive] = []
    substitutions: dict[str, Substitution] = {}
    for function in declared:
        if not live.selects(function):
            continue
        if function.address in live_in_program:
            # The Aspect has applied the rules already.
            chosen.append(function)
            continue
        decision = substitute(function, seen)
        if isinstance(decision, NotLive):
            refused.append(decision)
        else:
            substitutions[function.address] = decision
            chosen.append(function)
    # A function stays as it is if another call of its module's folder has to stay so.
    divided = _divided(modules, addresses_of(chosen))
    refused += divided
    stay = {item.address for item in divided}
    return Selection(
        tuple(modules),
        directory,
        live,
        live_in_program,
        tuple(function for function in chosen if function.address not in stay),
        tuple(refused),
        {address: item for address, item in substitutions.items() if address not in stay},
    )


def addresses_of(functions: Sequence[DeclaredFunction]) -> frozenset[str]:
    """Return the functions' addresses."""
    return frozenset(function.address for function in functions)


def _divided(modules: Sequence[Module], wanted: Collection[str]) -> list[NotLive]:
    """Return the wanted functions that share their module's folder with functions not wanted live.

    A module that is called several times has one folder, and an override file in it changes the
    functions of all calls.
    """
    found: list[NotLive] = []
    for module in modules:
        for label in sorted({function.label for function in module.functions}):
            same = [item.address for item in module.functions if item.label == label]
            others = [address for address in same if address not in wanted]
            if not others:
                continue
            reason = (
                f"it comes from the same module folder as {', '.join(others)}, which would become "
                "a stub with it; map all of them to local code, or none"
            )
            found += [NotLive(address, reason) for address in same if address in wanted]
    return found

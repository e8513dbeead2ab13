"""Emits the warnings about an app that is planned, each of them once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from terralive_cli.app.sandbox_gaps import sandbox_warnings
from terralive_cli.deploy.target import Stage
from terralive_cli.functions.evaluated import EvaluatedApp
from terralive_cli.functions.warnings import (
    debug_warnings,
    function_warnings,
    new_resource_warnings,
    version_warnings,
)
from terralive_cli.layers.local import layer_warnings
from terralive_relay.events import Warned
from terralive_terraform.addresses import without_keys
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.output.shown_plan import ShownPlan
from terralive_terraform.output.state import versions_after
from terralive_terraform.substitution.selection import addresses_of


class Warnings:
    """The warnings of one command. The app may be planned twice, and warns once.

    Args:
        stage: the stage.
        debugged: the names of the functions to debug.
    """

    def __init__(self, stage: Stage, debugged: Sequence[str]) -> None:
        self._stage = stage
        self._debugged = debugged
        # Warnings that were emitted.
        self._emitted: list[Warned] = []

    def emit(self, warnings: Iterable[Warned]) -> None:
        """Emit those warnings that have not been emitted before."""
        new = [warning for warning in warnings if warning not in self._emitted]
        self._emitted += new
        # Together, so that the same warning for several functions is shown once.
        self._stage.emit(*new)

    def emit_for(self, functions: Sequence[DeclaredFunction]) -> None:
        """Warn where functions may behave otherwise than users expect while they are live."""
        warnings = list(function_warnings(functions))
        for function in functions:
            if function.is_named(self._debugged):
                warnings += debug_warnings(function)
        self.emit(warnings)

    def emit_for_plan(
        self, functions: Sequence[DeclaredFunction], evaluated: EvaluatedApp, shown: ShownPlan
    ) -> None:
        """Warn of published versions, of new resources, and of what the sandbox does not do.

        Args:
            functions: the functions that become live.
            evaluated: the app without stubs.
            shown: the plan that makes them live.
        """
        versions = {at: alias.version for at, alias in evaluated.deployed.aliases.items()}
        versions.update(versions_after(shown))
        self.emit(version_warnings(functions, evaluated.aliases, versions))
        self.emit(new_resource_warnings(evaluated.new, shown))
        live = addresses_of(functions)
        layers = {at: item for at, item in evaluated.layers.items() if without_keys(at) in live}
        self.emit(layer_warnings(layers))
        if self._stage.target.sandbox is not None:
            self.emit(sandbox_warnings(evaluated.made.evaluation, evaluated.planned, live))

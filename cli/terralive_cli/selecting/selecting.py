"""Selects the functions of an app that become live, with their local code."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from terralive_cli.app.checks import at_edge, left_out
from terralive_cli.app.evaluation import Evaluation
from terralive_cli.app.live_plan import OwnCodeFirst, Selected
from terralive_cli.app.stub_settings import StubSettings
from terralive_cli.code_changes.of_app import CodeChanges
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.target import Stage
from terralive_cli.fallback.app_fallback import AppFallback
from terralive_cli.functions.evaluated import EvaluatedApp
from terralive_cli.functions.mapping import map_functions
from terralive_cli.output.progress import Phase
from terralive_terraform.evaluation.planned import image_architectures
from terralive_terraform.substitution.app import OpenApp, Prepared
from terralive_terraform.substitution.rules import NotLive
from terralive_terraform.substitution.selection import Selection, addresses_of

_log: Final = logging.getLogger("terralive.cli")


@dataclass(slots=True)
class Selecting:
    """Selects functions. A command has one of it for an app, or for one of its stacks.

    Attributes:
        stage: the stage.
        stub: the settings of the stub.
        evaluation: the app without stubs.
        code_changes: plans what Lambda's API changes.
        fallback: tells which functions need their own code first.
        not_found: the functions whose code was not found, by address.
        has_own_code: whether functions that needed it have got their own code before their stubs.
    """

    stage: Stage
    stub: StubSettings
    evaluation: Evaluation
    code_changes: CodeChanges
    fallback: AppFallback
    not_found: dict[str, NotLive] = field(default_factory=dict)
    has_own_code: bool = False
    # The functions without local code by address, once an earlier plan has found them.
    _unmapped: dict[str, NotLive] = field(default_factory=dict)

    def of(
        self,
        app: OpenApp,
        outputs: DebugStackOutputs | None,
        evaluated: EvaluatedApp,
        phase: Phase,
    ) -> Selected:
        """Select the functions that become live. Nothing of the team's changes.

        Args:
            app: the app.
            outputs: those of the debug stack; None before it is deployed.
            evaluated: the app without stubs.
            phase: reports the progress.

        Raises:
            BuildMissingError: a function is to get its own code first, which nobody has built.
            TerraliveError: whatever the guard raises.
        """
        deployed = evaluated.deployed.functions
        self._unmapped.update(at_edge(evaluated.edge))
        self._unmapped.update(left_out(self.stage.config, evaluated.planned, deployed))
        live = self.stub.live(
            outputs,
            architectures=image_architectures(evaluated.planned),
            arns=self.evaluation.arns,
            exclude=tuple(self._unmapped),
            by_file=self.evaluation.by_file,
            deployed=deployed,
        )
        with phase.step("synth"):
            selection = app.discovered(live).evaluated(evaluated.planned, evaluated.aliases)
            selection = selection.with_placeholders(evaluated.builds.substitutions())
        wanted = (*selection.functions, *selection.by_api)
        mapped = map_functions(self.stage.config, wanted, evaluated.located, evaluated.layers)
        if mapped.unmapped:
            self._unmapped.update(mapped.unmapped)
            self.not_found.update(mapped.unmapped)
            selection = selection.without(tuple(mapped.unmapped))
        prepared = app.prepared(selection)
        code = self.code_changes.planned(prepared, evaluated, outputs)
        if code.refused:
            self._unmapped.update(code.refused)
            selection = selection.without(tuple(code.refused))
            prepared = app.prepared(selection)
        mapped = mapped.only(addresses_of(prepared.live))
        first = self._own_code_first(app, selection, evaluated, prepared)
        return Selected(prepared, mapped, self._refused(prepared), evaluated, code, first)

    def _own_code_first(
        self, app: OpenApp, selection: Selection, evaluated: EvaluatedApp, prepared: Prepared
    ) -> OwnCodeFirst | None:
        """Prepare an apply that gives functions their own code first; None where none needs it."""
        if self.has_own_code:
            return None
        reasons = self.fallback.own_code_first(evaluated, self.evaluation.readers, prepared)
        if not reasons:
            return None
        # It is prepared last: the folder of a CDKTF program has the override of the last one.
        return OwnCodeFirst(app.prepared(selection.without(tuple(reasons))), reasons)

    def _refused(self, prepared: Prepared) -> Mapping[str, NotLive]:
        """Return all functions that stay as they are, by address."""
        refused = {item.address: item for item in prepared.refused}
        refused.update(self._unmapped)
        for address, item in refused.items():
            _log.debug("%s stays as it is: %s", address, item.text)
        return refused

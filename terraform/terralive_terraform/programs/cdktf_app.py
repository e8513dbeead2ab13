"""The way for CDK for Terraform: the app's program is run, and its output is in a folder of ours.

A Python program may call `attach(app)`: the Aspect then makes functions live inside the program and
marks them. All other functions, of any language, become live by an override file beside the
output. The rules are not applied again to what the Aspect has marked: only the facts of its real
code, which the Aspect has noted beside the mark, are read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from terralive_stub.errors import TerraliveError
from terralive_stub.shared.atomic_files import write_atomically
from terralive_stub.shared.json_documents import Json, section
from terralive_terraform.discovery.declared import FUNCTION_TYPE, DeclaredFunction, blocks
from terralive_terraform.discovery.files import module_calls, modules_of, read_synthesised
from terralive_terraform.discovery.remote_execution import refuse_remote_execution
from terralive_terraform.discovery.variables import GivenVariables
from terralive_terraform.overrides.module_copies import CopiedModules, ModuleCopies
from terralive_terraform.overrides.override_files import (
    ROOT,
    backend_override,
    state_of_workspace,
)
from terralive_terraform.overrides.team_folder import write_override
from terralive_terraform.programs.program import run_program
from terralive_terraform.programs.stacks import remove_stacks, stack_directory
from terralive_terraform.runs.node import node_for_jsii
from terralive_terraform.runs.process import private_directory
from terralive_terraform.substitution.app import App, Prepared
from terralive_terraform.substitution.rules import (
    LIVE_VARIABLE,
    WITHOUT_STUBS,
    LiveSettings,
    override_document,
)
from terralive_terraform.substitution.selection import Selection, addresses_of, select

_log: Final = logging.getLogger("terralive.terraform")


@dataclass(frozen=True, slots=True)
class _Synthesis:
    """Output of the app's program.

    Attributes:
        directory: the stack's folder, which Terraform runs in.
        data_dir: its TF_DATA_DIR.
        given: where its variables get their values.
        functions: the functions of the stack itself, without those of modules.
        live_in_program: the addresses of the functions that the Aspect has made live.
        is_attached: whether the Aspect was attached, and there is a function.
        live: the settings that the program ran with.
    """

    directory: Path
    data_dir: Path
    given: GivenVariables
    functions: tuple[DeclaredFunction, ...]
    live_in_program: frozenset[str]
    is_attached: bool
    live: LiveSettings | None

    def serves(self, live: LiveSettings | None) -> bool:
        """Tell whether a run with other settings would give the same output.

        A program sees the settings through the Aspect alone.
        """
        if self.live == live:
            return True
        if not self.is_attached:
            return True
        if self.live is None:
            return False
        if not self.live_in_program:
            # The Aspect has nothing to do.
            return True
        if live is None or replace(live, exclude=self.live.exclude) != self.live:
            return False
        # Only the exclusions differ: do they concern a function that the Aspect has made live?
        marked = [item for item in self.functions if item.address in self.live_in_program]
        return all(live.selects(function) for function in marked)

    def selected(self, live: LiveSettings | None) -> Selection:
        """Select the functions that become live."""
        # They are read again: an init may have installed the modules that the stack calls.
        calls = module_calls(self.directory, self.data_dir, given=self.given)
        return select(modules_of(calls), live, self.directory, self.live_in_program)


@dataclass(slots=True)
class CdktfApp(App):
    """A CDK for Terraform program in any language.

    Attributes:
        project: the folder that it runs in.
        command: its command.
        context: CDKTF's context, from cdktf.json.
        stack: the name of the stack to make live; None where the program tells it.
        backend_config: arguments for `terraform init -backend-config`.
        arguments: arguments for `terraform plan`, each of them one word.
    """

    project: Path
    command: str
    context: Mapping[str, Json]
    stack: str | None
    backend_config: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    # The program's last output, which `_OpenCdktfApp` sets: a program takes seconds to run.
    last: _Synthesis | None = field(default=None, compare=False, repr=False)

    @contextmanager
    def opened(
        self, work: Path, environment: Mapping[str, str], backend_override: Path | None = None
    ) -> Iterator[_OpenCdktfApp]:
        """Open the app."""
        work = private_directory(work.resolve())
        yield _OpenCdktfApp(self, work, environment, backend_override)


@dataclass(frozen=True, slots=True)
class _OpenCdktfApp:
    """An open CDKTF app; see `OpenApp`.

    Attributes:
        app: the app.
        work: the stage's own folder, which the output goes to.
        environment: the environment of the program.
        state: the state file that replaces the team's, of which each stack has one in a folder
            beside it; None for the team's.
    """

    app: CdktfApp
    work: Path
    environment: Mapping[str, str]
    state: Path | None

    def discovered(self, live: LiveSettings | None) -> Selection:
        """Run the program where its last output does not serve, and select its functions."""
        return self._synthesis(live).selected(live)

    def prepared(self, selection: Selection) -> Prepared:
        """Write the override file beside the output.

        The program runs again if the Aspect has made a function live that is to stay as it is.

        Raises:
            TerraliveError: `functions-unstable`.
        """
        synthesis = self._synthesis(selection.live)
        selected = selection
        if selection.live is not None:
            selected = synthesis.selected(selection.live)
        if selection.planned is not None:
            selected = selected.evaluated(selection.planned, selection.aliases)
        if addresses_of(selected.functions) != addresses_of(selection.functions):
            raise TerraliveError(
                "functions-unstable",
                "The app's program gives other functions at every run.",
                hint="Make its output depend on its input only.",
            )
        # The output is in a folder of terralive's, so its override file may stay there.
        directory = synthesis.directory
        changes = selected.changes_by_call()
        of_stack = changes.pop(ROOT, {})
        state = self._state_of(directory)
        override = {**override_document(of_stack), **backend_override(state)}
        write_override(directory, override)
        backend_config = self.app.backend_config
        if state is not None:
            backend_config = ()
        return Prepared(
            directory=directory,
            data_dir=synthesis.data_dir,
            functions=selected.functions,
            refused=selected.refused,
            backend_config=backend_config,
            arguments=self.app.arguments,
            files=CopiedModules(ModuleCopies(directory, self.work / "modules", changes)),
            state_file=state_of_workspace(state, self.environment.get("TF_WORKSPACE", "")),
        )

    def _state_of(self, stack: Path) -> Path | None:
        """Return the state file of a stack; None for the team's."""
        if self.state is None:
            return None
        return private_directory(self.state.parent / "states" / stack.name) / self.state.name

    def _synthesis(self, live: LiveSettings | None) -> _Synthesis:
        """Return the program's output for these settings; run it only where that is necessary."""
        if live is not None and live.is_trial:
            # An override file makes the same plan as the Aspect, without another run.
            live = None
        last = self.app.last
        is_own = last is not None and last.directory.is_relative_to(self.work)
        if last is not None and is_own and last.serves(live):
            _log.debug("the CDKTF program's last output serves")
            return last
        out = self.work / "cdktf.out"
        remove_stacks(out)
        _log.debug("running the CDKTF program %s", self.app.command)
        self._run_program(live, out)
        directory = stack_directory(out, self.app.stack, self.app.command)
        if self.state is None:
            refuse_remote_execution(
                directory,
                backend_config=self.app.backend_config,
                environment=self.environment,
                selected=self.environment.get("TF_WORKSPACE", ""),
            )
        given = GivenVariables(self.app.arguments, self.environment)
        module, document = read_synthesised(directory, given)
        synthesis = _Synthesis(
            directory,
            self.work / "terraform-data" / directory.name,
            given,
            module.functions,
            live_in_program=frozenset(_marked(document, "live")),
            is_attached=any(_marked(document, "attached")),
            live=live,
        )
        self.app.last = synthesis
        return synthesis

    def _run_program(self, live: LiveSettings | None, out: Path) -> None:
        app = self.app
        variables = {
            **self.environment,
            "CDKTF_OUTDIR": str(out),
            "CDKTF_CONTEXT_JSON": json.dumps(app.context),
            "JSII_NODE": node_for_jsii(self.environment),
        }
        content = WITHOUT_STUBS
        if live is not None:
            content = live.to_json()
        settings = self.work / "live.json"
        write_atomically(settings, content.encode())
        variables[LIVE_VARIABLE] = str(settings)
        run_program(app.command, app.project, variables)


def _marked(document: Mapping[str, Json], note: str) -> Iterator[str]:
    """Yield the addresses of the functions on which the Aspect has left a note.

    Args:
        document: the configuration of a stack.
        note: `attached` for all functions that it has seen, `live` for those that it has made
            live.
    """
    for label, block in blocks(section(document, "resource"), FUNCTION_TYPE):
        notes = section(section(block, "//"), "terralive")
        if notes.get(note) is True:
            yield f"{FUNCTION_TYPE}.{label}"

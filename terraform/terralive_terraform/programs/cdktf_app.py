"""The way for CDK for Terraform: the app's program is run, and its output is in a folder of ours.

The program runs once in each command, for all of its stacks. Its functions become live by an
override file beside each stack's output, whatever language and bindings it uses. Where the program
attaches the Aspect, that file has the stubs that the Aspect defines.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.files import module_calls, modules_of
from terralive_terraform.discovery.remote_execution import refuse_remote_execution
from terralive_terraform.discovery.variables import GivenVariables
from terralive_terraform.images.builds import with_image_sources
from terralive_terraform.overrides.module_copies import CopiedModules, ModuleCopies
from terralive_terraform.overrides.override_files import (
    ROOT,
    backend_override,
    state_of_workspace,
)
from terralive_terraform.overrides.team_folder import write_override
from terralive_terraform.programs.program import run_program
from terralive_terraform.programs.remote_states import remote_state_override
from terralive_terraform.programs.stacks import (
    Stack,
    read_stacks,
    remove_stacks,
    selected_stacks,
    unclear,
)
from terralive_terraform.runs.node import node_for_jsii
from terralive_terraform.runs.process import private_directory
from terralive_terraform.substitution.app import App, Part, Prepared
from terralive_terraform.substitution.rules import LIVE_VARIABLE, LiveSettings, override_document
from terralive_terraform.substitution.selection import Selection, select

_log: Final = logging.getLogger("terralive.terraform")


@dataclass(slots=True)
class Output:
    """The last output of a program, which takes seconds to run.

    Attributes:
        folder: the folder that it has written to; None before its first run.
        stacks: the stacks that it has written, in the order to apply them.
        checked: the names of those stacks whose plans are known to run on this machine.
    """

    folder: Path | None = None
    stacks: tuple[Stack, ...] = ()
    checked: set[str] = field(default_factory=set)


@dataclass(slots=True)
class CdktfApp(App):
    """A CDK for Terraform program in any language.

    Attributes:
        project: the folder that it runs in.
        command: its command.
        context: CDKTF's context, from cdktf.json.
        stacks: the names, or patterns, of the stacks to make live; () for all with functions.
        backend_config: arguments for `terraform init -backend-config`.
        arguments: arguments for `terraform plan`, each of them one word.
    """

    project: Path
    command: str
    context: Mapping[str, Json]
    stacks: tuple[str, ...] = ()
    backend_config: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    # What the program has written. The parts of an app share it.
    output: Output = field(default_factory=Output, compare=False, repr=False)
    # The names of the stacks that become live together, where this is a part.
    beside: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def parts(self, work: Path, environment: Mapping[str, str]) -> tuple[Part, ...]:
        """Run the program, and return its stacks to make live as apps of their own.

        Raises:
            ConfigurationError, TerraformError: see `run_program` and `selected_stacks`.
        """
        written = self.written(private_directory(work.resolve()), environment)
        selected = selected_stacks(written, self.stacks, self.command)
        names = tuple(stack.name for stack in selected)
        return tuple(
            Part(stack.name, replace(self, stacks=(stack.name,), beside=names), stack.dependencies)
            for stack in selected
        )

    @contextmanager
    def opened(
        self, work: Path, environment: Mapping[str, str], backend_override: Path | None = None
    ) -> Iterator[_OpenStack]:
        """Open the app, of which one stack is to be live."""
        work = private_directory(work.resolve())
        yield _OpenStack(self, work, environment, backend_override)

    def written(self, work: Path, environment: Mapping[str, str]) -> tuple[Stack, ...]:
        """Return the stacks that the program writes; run it only where it has not run yet.

        Args:
            work: the stage's own folder, which the output goes to.
            environment: the environment of the program.
        """
        folder = work / "cdktf.out"
        if self.output.folder == folder:
            _log.debug("the CDKTF program's last output serves")
            return self.output.stacks
        remove_stacks(folder)
        _log.debug("running the CDKTF program %s", self.command)
        variables = {
            **environment,
            "CDKTF_OUTDIR": str(folder),
            "CDKTF_CONTEXT_JSON": json.dumps(self.context),
            "JSII_NODE": node_for_jsii(environment),
            LIVE_VARIABLE: "1",
        }
        run_program(self.command, self.project, variables)
        self.output.stacks = read_stacks(folder)
        self.output.checked.clear()
        self.output.folder = folder
        return self.output.stacks


@dataclass(frozen=True, slots=True)
class _OpenStack:
    """One stack of an open CDKTF app; see `OpenApp`.

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
        """Run the program where it has not run yet, and select the stack's functions."""
        directory = self._stack().directory
        given = GivenVariables(self.app.arguments, self.environment)
        # They are read every time: an init may have installed the modules that the stack calls.
        calls = module_calls(directory, self._data_dir(directory), given=given)
        # The folder of an asset is a copy.
        modules = with_image_sources(modules_of(calls), calls, copies=directory.resolve())
        return select(modules, live, directory)

    def prepared(self, selection: Selection) -> Prepared:
        """Write the override file beside the output."""
        # The output is in a folder of terralive's, so its override file may stay there.
        directory = self._stack().directory
        changes = selection.changes_by_call()
        of_stack = changes.pop(ROOT, {})
        state = self._state_of(directory.name)
        if state is not None:
            private_directory(state.parent)
        override = {
            **override_document(of_stack),
            **backend_override(state),
            **remote_state_override(directory, self._states()),
        }
        write_override(directory, override)
        backend_config = self.app.backend_config
        if state is not None:
            backend_config = ()
        copies = ModuleCopies(directory, self.work / "modules" / directory.name, changes)
        return Prepared(
            directory=directory,
            data_dir=self._data_dir(directory),
            functions=selection.functions,
            refused=selection.refused,
            backend_config=backend_config,
            arguments=self.app.arguments,
            files=CopiedModules(copies),
            state_file=state_of_workspace(state, self.environment.get("TF_WORKSPACE", "")),
            by_api=selection.by_api,
        )

    def _stack(self) -> Stack:
        """Return the stack; run the program where it has not run yet.

        Raises:
            ConfigurationError: `remote-execution`; `stack-unclear`, where there are several.
        """
        app = self.app
        (stack, *others) = selected_stacks(
            app.written(self.work, self.environment), app.stacks, app.command
        )
        if others:
            raise unclear(app.command, (stack, *others), "This command is for one of them.")
        if self.state is None and stack.name not in app.output.checked:
            refuse_remote_execution(
                stack.directory,
                backend_config=app.backend_config,
                environment=self.environment,
                selected=self.environment.get("TF_WORKSPACE", ""),
            )
            app.output.checked.add(stack.name)
        return stack

    def _data_dir(self, directory: Path) -> Path:
        """Return the stack's TF_DATA_DIR."""
        return self.work / "terraform-data" / directory.name

    def _state_of(self, name: str) -> Path | None:
        """Return the state file of a stack; None for the team's."""
        if self.state is None:
            return None
        return self.state.parent / "states" / name / self.state.name

    def _states(self) -> dict[Path, Path]:
        """Return the state files that replace the team's, by the folder of the stack."""
        states: dict[Path, Path] = {}
        for stack in self.app.output.stacks:
            state = self._state_of(stack.name)
            # What terralive has not deployed may be deployed by the team.
            if state is not None and (stack.name in self.app.beside or state.is_file()):
                states[stack.directory] = state
        return states

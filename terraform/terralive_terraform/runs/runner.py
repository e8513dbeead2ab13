"""Terraform in one folder: init when it is needed, plan, apply, and reading the state.

It decides nothing about AWS and knows no stack. It hands every event of Terraform's `-json` output
to `on_progress` as it comes, and turns error diagnostics into exceptions. It removes every plan
file that it has applied, and never returns before Terraform has ended.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from terralive_stub.errors import TerraformError
from terralive_stub.shared.json_documents import Json, as_object, read_object
from terralive_terraform.data_folder import data_folder
from terralive_terraform.evaluation.document import Evaluation
from terralive_terraform.evaluation.evaluated_plan import EvaluatedPlan
from terralive_terraform.output.failures import (
    excludes_moves,
    failure,
    from_first_error,
    needs_init,
)
from terralive_terraform.output.json_output import FinishedRun, JsonOutput
from terralive_terraform.output.known_state import KnownState
from terralive_terraform.output.plans import CHANGES_PLANNED, TerraformPlan, read_plan
from terralive_terraform.output.progress import (
    Change,
    Diagnostic,
    OutputLine,
    Progress,
    Summary,
    is_about_installed_providers,
    is_about_targets,
)
from terralive_terraform.output.shown_plan import ShownPlan, shown_plan
from terralive_terraform.runs.added_files import AddedFiles, NoFiles, PlanView
from terralive_terraform.runs.arguments import apply_arguments
from terralive_terraform.runs.environment import (
    apply_environment,
    local_backend_environment,
    without_arguments,
)
from terralive_terraform.runs.fingerprint import init_fingerprint
from terralive_terraform.runs.process import (
    make_state_private,
    private_directory,
    run_process,
    wait_for_earlier_run,
)
from terralive_terraform.side_by_side.runs import RunsAtOnce

_log: Final = logging.getLogger("terralive.terraform")

_INIT: Final = "init"
_LOCK_TIMEOUT: Final = "-lock-timeout=60s"
_STAMP: Final = "terralive-init"
# The folder for output files. Only this user may read it; a team's own `.terraform` around it
# keeps its mode.
_SCRATCH: Final = "terralive"
_REFRESH: Final = "refresh.tfplan"


class Terraform:
    """Terraform in one folder.

    Args:
        directory: the root module.
        binary: `terraform`, `tofu`, or a path.
        environment: the whole environment of every run (see `environment.terraform_environment`).
        on_progress: receives every event, on the calling thread.
        data_dir: TF_DATA_DIR; None for Terraform's own default (`.terraform` in the folder).
        backend_config: arguments for `terraform init -backend-config`.
        arguments: the user's arguments for plans and applies; see `arguments.users_arguments`.
        files: files that are added to the configuration while Terraform reads it.
        state_file: the state, where it is a file of terralive's; None for the configuration's own
            backend.
        before_init: lets the data folder know the backend, so that an init moves no state.
        runs: the runs of the same command, which may run at once.
    """

    def __init__(
        self,
        directory: Path,
        *,
        binary: str = "terraform",
        environment: Mapping[str, str],
        on_progress: Callable[[Progress], None],
        data_dir: Path | None = None,
        backend_config: Sequence[str] = (),
        arguments: Sequence[str] = (),
        files: AddedFiles = NoFiles(),  # noqa: B008  # it has no state
        state_file: Path | None = None,
        before_init: Callable[[], None] | None = None,
        runs: RunsAtOnce | None = None,
    ) -> None:
        self._directory = directory.resolve()
        self._binary = binary
        # Whether the data folder is terralive's own, or the team's.
        self._owns_data_dir = data_dir is not None
        if data_dir is None:
            data_dir = data_folder(self._directory, environment)
        self._data_dir = data_dir.resolve()
        self._environment = {**environment, "TF_DATA_DIR": str(self._data_dir)}
        self._on_progress = on_progress
        self._backend_config = tuple(backend_config)
        self._arguments = tuple(arguments)
        self._files = files
        self._state_file = state_file
        self._before_init = before_init
        self._runs = runs or RunsAtOnce()
        # The state; it is forgotten with everything that may change it.
        self.state = KnownState(self._read_state)

    def ensure_init(self) -> None:
        """Run `terraform init` unless nothing that it depends on has changed since the last one."""
        stamp = self._data_dir / _STAMP
        is_unchanged = stamp.is_file() and stamp.read_text() == self._fingerprint()
        if is_unchanged and self._files.are_possible(self._data_dir):
            _log.debug("init of %s is not needed", self._directory)
            return
        self.init()

    def init(self) -> None:
        """Run `terraform init`.

        Raises:
            TerraformError: it failed.
        """
        self._on_progress(OutputLine("installing providers and modules (terraform init)"))
        (self._data_dir / _STAMP).unlink(missing_ok=True)
        self.state.forget()
        arguments = [_INIT, "-input=false", "-no-color"]
        # terralive changes the backend only where the data folder is its own. A team's own state
        # is never left behind without a question.
        if self._before_init is not None:
            self._before_init()
        elif self._owns_data_dir:
            arguments.append("-reconfigure")
        arguments += [f"-backend-config={argument}" for argument in self._backend_config]
        environment = self._environment
        if self._state_file is not None:
            environment = local_backend_environment(environment)
        lines: list[str] = []
        with self._files.during_init() as inherited:
            code = self._run(arguments, lines.append, environment=environment, inherited=inherited)
        if code != 0:
            raise failure("init", (), from_first_error(lines))
        (self._data_dir / _STAMP).write_text(self._fingerprint())

    def _fingerprint(self) -> str:
        return init_fingerprint(self._directory, self._backend_config)

    def plan(
        self,
        out: Path,
        *,
        destroy: bool = False,
        targets: Sequence[str] = (),
    ) -> TerraformPlan:
        """Plan into the file `out`. Its folder becomes private, and a left-over file is removed.

        Args:
            out: the plan's file.
            destroy: plan to remove everything.
            targets: addresses, to which the plan is limited, with all that they depend on; () for
                the whole configuration. Where a pending `moved` block forbids such a plan, the
                whole configuration is planned:
                https://developer.hashicorp.com/terraform/cli/commands/plan#resource-targeting

        Raises:
            TerraformError, CredentialsError: it failed, or Terraform does not list the changes
                (`plan-not-listed`). The file `out` does not exist then.
        """
        private_directory(out.parent)
        out.unlink(missing_ok=True)
        arguments = ["plan", "-json", "-input=false", "-detailed-exitcode", _LOCK_TIMEOUT]
        arguments.append(f"-out={out.resolve()}")
        if destroy:
            arguments.append("-destroy")
        arguments += self._arguments
        try:
            plan = read_plan(self._plan(arguments, targets=targets), out)
        except BaseException:
            out.unlink(missing_ok=True)
            raise
        return plan

    def _plan(
        self,
        arguments: Sequence[str],
        *,
        targets: Sequence[str] = (),
        hides: Callable[[Progress], bool] | None = None,
    ) -> FinishedRun:
        targeted = [*arguments, *(f"-target={address}" for address in targets)]
        finished = self._plan_once(targeted, hides or _needs_init)
        if finished.code == 1 and needs_init(finished.diagnostics):
            self.init()
            finished = self._plan_once(targeted, hides)
        if targets and finished.code == 1 and excludes_moves(finished.diagnostics):
            _log.debug("a moved block is pending: the whole configuration is planned")
            finished = self._plan_once(arguments, hides)
        if finished.code not in (0, CHANGES_PLANNED):
            raise failure("plan", finished.diagnostics, finished.other_output)
        return finished

    def _plan_once(
        self, arguments: Sequence[str], hides: Callable[[Progress], bool] | None
    ) -> FinishedRun:
        with ExitStack() as added:
            view = added.enter_context(self._files.during_plan(self._data_dir))
            return self._run_json(
                arguments,
                self._initialised() | {"TF_DATA_DIR": str(view.data_dir)},
                # The added files have served when Terraform has read the configuration.
                on_read=added.close,
                view=view,
                hides=hides,
            )

    def evaluate(
        self,
        scratch: Path,
        corrected: Callable[[Mapping[str, Json]], Mapping[str, Json]] = dict,
    ) -> EvaluatedPlan:
        """Ask Terraform for the values of the configuration. Nothing is shown, and nothing changes.

        It is a plan without a refresh: the state's resources are taken as they are. Data sources
        are read all the same: https://developer.hashicorp.com/terraform/cli/commands/plan.

        Args:
            scratch: a file for the plan, which exists only meanwhile.
            corrected: returns the plan's JSON document with the values that are to be told.

        Raises:
            TerraformError, CredentialsError: the plan failed.
        """
        private_directory(scratch.parent)
        arguments = ["plan", "-json", "-input=false", "-detailed-exitcode", _LOCK_TIMEOUT]
        arguments.append("-refresh=false")
        arguments.append(f"-out={scratch.resolve()}")
        arguments += self._arguments
        try:
            finished = self._plan(arguments, hides=_everything)
            plan = read_plan(finished, scratch)
            shown = self._read(["show", "-json", "-no-color", str(scratch.resolve())])
        finally:
            scratch.unlink(missing_ok=True)
        document = as_object(shown)
        return EvaluatedPlan(
            Evaluation(corrected(document), self._directory),
            plan,
            shown_plan(document),
            tuple(event for event in finished.events if isinstance(event, Summary)),
        )

    def show(self, plan_file: Path) -> ShownPlan:
        """Read the content of a saved plan.

        Raises:
            TerraformError: it failed.
        """
        document = self._read(["show", "-json", "-no-color", str(plan_file.resolve())])
        return shown_plan(as_object(document))

    def shown_text(self, plan_file: Path) -> str:
        """Return a saved plan as Terraform prints it, without colours and sensitive values.

        Raises:
            TerraformError: it failed.
        """
        return self._read_text(["show", "-no-color", str(plan_file.resolve())])

    def apply(self, plan_file: Path, hides: Callable[[Progress], bool] | None = None) -> None:
        """Apply a plan and remove its file.

        Args:
            plan_file: the plan.
            hides: tells which events are not shown; None for none.

        Raises:
            TerraformError, CredentialsError: it failed. The state holds what was done.
            KeyboardInterrupt: after Terraform has written its state and released its lock.
        """
        arguments = ["apply", "-json", "-input=false", _LOCK_TIMEOUT]
        arguments += apply_arguments(self._arguments)
        arguments.append(str(plan_file.resolve()))
        try:
            self._require_applied(self._apply(arguments, hides))
        finally:
            plan_file.unlink(missing_ok=True)

    def refresh(self, targets: Sequence[str]) -> None:
        """Let the state know how resources are, and change nothing else.

        https://developer.hashicorp.com/terraform/cli/commands/plan#planning-modes

        Args:
            targets: the addresses of the resources; nothing is done for ().

        Raises:
            TerraformError, CredentialsError: it failed.
        """
        if not targets:
            return
        plan_file = private_directory(self._data_dir / _SCRATCH) / _REFRESH
        arguments = ["plan", "-json", "-input=false", "-detailed-exitcode", _LOCK_TIMEOUT]
        arguments += ["-refresh-only", f"-out={plan_file}", *self._arguments]
        try:
            finished = self._plan(arguments, targets=targets, hides=_everything)
            if finished.code == CHANGES_PLANNED:
                self.apply(plan_file, hides=_everything)
        finally:
            plan_file.unlink(missing_ok=True)

    def destroy(self) -> None:
        """Remove everything of the configuration without a saved plan, in one run.

        It is for what terralive has made itself, after the user's answer. It raises what `apply`
        raises: https://developer.hashicorp.com/terraform/cli/commands/destroy.
        """
        arguments = ["apply", "-destroy", "-auto-approve", "-json", "-input=false", _LOCK_TIMEOUT]
        arguments += self._arguments
        finished = self._apply(arguments, hides=_needs_init)
        if needs_init(finished.diagnostics):
            self.init()
            finished = self._apply(arguments)
        self._require_applied(finished)

    def _apply(
        self, arguments: Sequence[str], hides: Callable[[Progress], bool] | None = None
    ) -> FinishedRun:
        if self._state_file is not None:
            private_directory(self._state_file.parent)
        try:
            environment = apply_environment(self._initialised())
            return self._run_json(arguments, environment, hides=hides)
        finally:
            self.state.forget()
            if self._state_file is not None:
                make_state_private(self._state_file)

    def _require_applied(self, finished: FinishedRun) -> None:
        if finished.code != 0:
            raise failure("apply", finished.diagnostics, finished.other_output)

    def _read_state(self) -> Json:
        """Return the state; None where there is none."""
        if self._state_file is None:
            return self._read(["state", "pull"])
        # A Terraform that outlives a killed terralive may still be writing it.
        wait_for_earlier_run(self._data_dir / _SCRATCH, self._on_wait)
        return read_object(self._state_file) or None

    def _initialised(self) -> dict[str, str]:
        """Return the environment of everything that comes after an init."""
        return {**self._environment, **self._files.variables(self._data_dir)}

    def _read(self, arguments: Sequence[str]) -> Json:
        """Run a command that prints one JSON document, or nothing (None)."""
        text = self._read_text(arguments).strip()
        if not text:
            return None
        try:
            document: Json = json.loads(text)
        except ValueError:
            raise TerraformError(
                "terraform-failed",
                f"terraform {' '.join(arguments[:2])} printed something other than JSON.",
                hint=f"Run `{self._binary} {' '.join(arguments)}` in {self._directory} to see it.",
            ) from None
        return document

    def _read_text(self, arguments: Sequence[str]) -> str:
        """Run a command, and return what it prints on stdout."""
        lines: list[str] = []
        # Not everything on stderr is an error: TF_LOG, notes on development overrides, and the
        # output of wrappers go there, too.
        errors: list[str] = []
        environment = without_arguments(self._initialised())
        code = self._run(arguments, lines.append, errors.append, environment)
        if code != 0:
            raise failure(" ".join(arguments[:2]), (), "\n".join([*errors, *lines]))
        return "\n".join(lines)

    def _run_json(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        on_read: Callable[[], None] = lambda: None,
        view: PlanView | None = None,
        hides: Callable[[Progress], bool] | None = None,
    ) -> FinishedRun:
        """Run a command with `-json` and pass its events on.

        Args:
            arguments: the command and its arguments.
            environment: its whole environment.
            on_read: called when Terraform has read the configuration, and with every later event.
            view: names the team's files in diagnostics.
            hides: tells which events are not passed on.
        """
        # An apply repeats the changes that its plan has shown already.
        repeats_changes = arguments[0] == "apply"

        def on_event(event: Progress) -> None:
            if hides is not None and hides(event):
                return
            if repeats_changes and isinstance(event, Change):
                return
            self._on_progress(event)

        view = view or PlanView(self._data_dir)
        output = JsonOutput(
            on_event, on_read=on_read, is_own_doing=self._is_own_doing, original=view.original
        )
        code = self._run(arguments, output.take, environment=environment)
        return output.finished(code)

    def _is_own_doing(self, event: Progress) -> bool:
        """Tell whether an event is a warning of how terralive runs Terraform."""
        if is_about_targets(event):
            return True
        # A team may have development overrides of its own.
        return self._state_file is not None and is_about_installed_providers(event)

    def _run(
        self,
        arguments: Sequence[str],
        on_line: Callable[[str], None],
        on_error_line: Callable[[str], None] | None = None,
        environment: Mapping[str, str] | None = None,
        inherited: Sequence[int] = (),
    ) -> int:
        _log.debug("%s %s in %s", self._binary, arguments[0], self._directory)
        turn = self._runs.run
        if arguments[0] == _INIT:
            turn = self._runs.init
        with turn():
            code = run_process(
                [self._binary, *arguments],
                cwd=self._directory,
                environment=environment or self._environment,
                scratch=self._data_dir / _SCRATCH,
                on_line=on_line,
                on_error_line=on_error_line,
                on_wait=self._on_wait,
                inherited=inherited,
                runs=self._runs,
            )
        _log.debug("%s %s ended with %d", self._binary, arguments[0], code)
        return code

    def _on_wait(self) -> None:
        self._on_progress(OutputLine("Waiting for an earlier Terraform run to end"))


def _everything(_: Progress) -> bool:
    return True


def _needs_init(event: Progress) -> bool:
    """Tell whether an event is an error that an init mends."""
    return isinstance(event, Diagnostic) and needs_init((event,))

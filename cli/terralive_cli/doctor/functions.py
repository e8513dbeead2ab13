"""The functions of the app: their local code, what runs it, and who holds them.

Terraform evaluates the app for this, as for `terralive plan`. Nothing changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import LEAVES_OUT, Config
from terralive_cli.deploy.target import Stage, opened
from terralive_cli.doctor.findings import Finding, Outcome, SkippedError, failed, warning
from terralive_cli.functions import interpreters
from terralive_cli.functions.code_checks import handler_warning
from terralive_cli.output.formats.words import listed
from terralive_cli.output.ui import Ui
from terralive_cli.protection.accounts import check_target
from terralive_cli.protection.guard import Guard
from terralive_cli.protection.production import refuse_production
from terralive_cli.protection.project_names import names_in_project
from terralive_cli.protection.terragrunt import check_terragrunt
from terralive_cli.stacks.stage_apps import StageApps
from terralive_relay.events import Event, Warned
from terralive_stub.errors import ConfigurationError
from terralive_terraform.addresses import in_stack
from terralive_terraform.substitution.rules import NotLive
from terralive_workers.function import LocalCode

_HELD: Final = "stage-held-elsewhere"
_SHOWN: Final = 5
# Another terralive runs Terraform in the app's folder.
_BUSY: Final = "folder-busy"


@dataclass(frozen=True, slots=True)
class AppSeen:
    """The functions of the app, and what was warned of while Terraform evaluated it.

    Attributes:
        code: the local code of functions, by address.
        refused: the functions that stay as they are, by address.
        errors: the mistakes of terralive.toml among these reasons, by address.
        warned: the warnings.
    """

    code: Mapping[str, LocalCode] = field(default_factory=dict)
    refused: Mapping[str, NotLive] = field(default_factory=dict)
    errors: Mapping[str, ConfigurationError] = field(default_factory=dict)
    warned: tuple[Warned, ...] = ()


@dataclass(slots=True)
class AppLook:
    """A look at the app.

    Attributes:
        config: the configuration.
        ui: the user, who is asked nothing.
        seen: what the look has found; None before `check_functions`, and where it failed.
    """

    config: Config
    ui: Ui
    seen: AppSeen | None = None

    def check_functions(self, *, has_leftovers: bool) -> Outcome:
        """Evaluate the app, and check the local code of its functions.

        Args:
            has_leftovers: whether a killed run has left files beside the `*.tf` files.

        Raises:
            SkippedError: there is no app, or a run of Terraform would remove these files.
            TerraliveError: Terraform cannot evaluate the app, or it must not be touched.
        """
        if not self.config.terraform.found:
            raise SkippedError(f"no Terraform configuration in {self.config.terraform.dir}")
        if has_leftovers:
            raise SkippedError("Terraform would remove the files of the other run; see leftovers")
        try:
            self.seen = _look(self.config, self.ui)
        except ConfigurationError as error:
            if error.reference == _BUSY:
                raise SkippedError(error.message) from None
            raise
        return functions_outcome(self.seen)

    def check_others(self) -> Outcome:
        """Tell which functions carry the stub of another stage.

        Raises:
            SkippedError: the functions are not known.
        """
        if self.seen is None:
            raise SkippedError("needs the functions")
        return others_outcome(self.seen)


def functions_outcome(seen: AppSeen) -> Outcome:
    """Return the result for the functions of the app."""
    findings = [*_of_refused(seen), *_of_handlers(seen), *_of_interpreters(seen)]
    refused = [item for item in seen.refused.values() if LEAVES_OUT not in item.reason]
    count = len(seen.code) + len(refused)
    return Outcome(f"{len(seen.code)} of {count} can run here", tuple(findings))


def others_outcome(seen: AppSeen) -> Outcome:
    """Return the result for the stubs of other stages."""
    findings = [
        warning(
            _HELD,
            item.message,
            why="Invocations of these functions run on somebody else's machine.",
            fix="Ask them for `terralive restore`, or take the functions over: "
            "`terralive start --takeover`.",
        )
        for item in seen.warned
        if item.reference == _HELD
    ]
    if not findings:
        return Outcome("no function is live for another stage")
    return Outcome("functions are live for other stages", tuple(findings))


def _of_refused(seen: AppSeen) -> Iterator[Finding]:
    for address, item in seen.refused.items():
        error = seen.errors.get(address)
        why = "It stays as it is: its deployed code runs, and your edits do not."
        if error is not None:
            yield failed(error.reference, error.message, why=why, fix=error.hint)
        elif LEAVES_OUT not in item.reason:
            yield warning(
                "not-live", f"{address}: {item.reason.rstrip('.')}.", why=why, fix=_lines(item)
            )


def _lines(item: NotLive) -> str:
    if item.lines:
        return "\n".join(["Add to terralive.toml:", *item.lines])
    return "Nothing in terralive.toml makes it live."


def _of_handlers(seen: AppSeen) -> Iterator[Finding]:
    for address, code in seen.code.items():
        text = handler_warning(code)
        if text is not None:
            yield warning(
                "handler-doubtful",
                f"{address}: {text}",
                why="Its first invocation would likely fail.",
                fix="Correct the file, or the function's handler.",
            )


@dataclass(frozen=True, slots=True)
class _Pair:
    """A runtime in Lambda, and the interpreter that stands for it here."""

    runtime: str
    program: Path


def _of_interpreters(seen: AppSeen) -> Iterator[Finding]:
    """Yield one finding for all functions that differ in the same way."""
    alike: dict[_Pair, list[str]] = {}
    for address, code in seen.code.items():
        program = interpreters.handler_interpreter(code)
        if program is not None:
            alike.setdefault(_Pair(code.runtime, program), []).append(address)
    for pair, addresses in alike.items():
        version = interpreters.version_of(pair.program)
        if interpreters.mismatch(pair.runtime, pair.program, version) is None:
            continue
        setting = "python"
        if interpreters.runtime_family(pair.runtime) == "nodejs":
            setting = "node"
        yield warning(
            "runtime-differs",
            f"{pair.runtime} in Lambda, and {version} here ({pair.program}): "
            f"{listed(addresses, _SHOWN)}.",
            why="Code that works here may fail in Lambda.",
            fix="Install that version, or name another interpreter in terralive.toml: "
            f"[functions.'{addresses[0]}'] {setting} = \"…\".",
        )


def _look(config: Config, ui: Ui) -> AppSeen:
    warned: list[Warned] = []

    def collect(*events: Event) -> None:
        warned.extend(event for event in events if isinstance(event, Warned))

    _require_touchable(config)
    code: dict[str, LocalCode] = {}
    refused: dict[str, NotLive] = {}
    errors: dict[str, ConfigurationError] = {}
    with opened(config) as target:
        stage = Stage.of(config, target, collect)
        check_target(stage, ui, changes=False)
        for app in StageApps(stage, Guard(stage, ui, changes=False)).stacks:
            with app.selected_live(None) as selected:
                for address, item in selected.mapped.code.items():
                    code[in_stack(app.stack, address)] = item
                for address, reason in selected.refused.items():
                    refused[in_stack(app.stack, address)] = reason
                for address, error in selected.mapped.errors.items():
                    errors[in_stack(app.stack, address)] = error
    return AppSeen(code, refused, errors, tuple(warned))


def _require_touchable(config: Config) -> None:
    """Refuse what `terralive plan` refuses.

    Raises:
        ConfigurationError: `stage-protected`, `terragrunt-folder`, …
    """
    check_terragrunt(config)
    config.refuse_protected()
    if not config.sandbox:
        names = names_in_project(config, os.environ)
        refuse_production(names, config.production_words, allowed=config.allow_protected)

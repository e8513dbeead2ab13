"""The self-test: asks, runs the steps, removes everything, and writes the report."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy.target import Stage, Target, opened
from terralive_cli.doctor.checks import checks_of
from terralive_cli.doctor.examination import examine
from terralive_cli.doctor.findings import CheckDone
from terralive_cli.doctor.self_test.project import APP, new_stage, write_project
from terralive_cli.doctor.self_test.report import Facts, redacted, report
from terralive_cli.doctor.self_test.results import SelfTestDone
from terralive_cli.doctor.self_test.running import environment_of
from terralive_cli.doctor.self_test.trial import Trial
from terralive_cli.output import failures
from terralive_cli.output.events import Message
from terralive_cli.output.interrupts import Interrupts
from terralive_cli.output.ui import Ui
from terralive_cli.protection.accounts import check_target
from terralive_relay.events import Event
from terralive_stub.errors import TerraliveError

# The checks of the user's project say nothing about the self-test's.
_CHECKS: Final = (
    "versions",
    "provider",
    "region",
    "credentials",
    "clock",
    "permissions",
    "limits",
    "connection",
)
_ANSWER_SECONDS: Final = 90
# A shorter name may be an ordinary word.
_SHORT: Final = 2


@dataclass(frozen=True, slots=True)
class Wishes:
    """The user's wishes for a self-test.

    Attributes:
        quick: leave out what takes minutes.
        report: the file of the report; None for one in the current folder.
        with_names: do not remove account ids and names from the report.
    """

    quick: bool = False
    report: Path | None = None
    with_names: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """The place where a self-test works.

    Attributes:
        config: the user's configuration.
        target: the account and region, or the sandbox.
        stage: name of the self-test's stage.
        folder: folder of its project.
    """

    config: Config
    target: Target
    stage: str
    folder: Path


def run_self_test(config: Config, ui: Ui, wishes: Wishes) -> int:
    """Run a self-test where the configuration says, and return the exit code.

    Raises:
        ConfigurationError: the target must not be changed, or nobody can answer the question.
        CredentialsError: AWS does not know the caller.
    """
    with opened(config, may_start_sandbox=True) as target:
        stage = Stage.of(config, target, ui.emit)
        check_target(stage, ui, changes=True)
        checks: list[CheckDone] = []

        def collect(*events: Event) -> None:
            checks.extend(event for event in events if isinstance(event, CheckDone))
            ui.emit(*events)

        wanted = [item for item in checks_of(config, ui, fix=False) if item.name in _CHECKS]
        examine(wanted, collect)
        name = new_stage()
        if not ui.confirm(_question(target, name, wishes)):
            ui.emit(Message(message="Nothing was deployed."))
            return failures.FAILED
        folder = Path(tempfile.mkdtemp(prefix=f"{APP}-{name}-")).resolve()
        return _tried(_Place(config, target, name, folder), ui, wishes, checks)


def _question(target: Target, stage: str, wishes: Wishes) -> str:
    duration = "about 15 minutes"
    if wishes.quick:
        duration = "a few minutes"
    return (
        f"The self-test deploys a debug stack and two functions to {target.name}, as stage {stage} "
        f"of the app {APP}. It removes them at its end, in {duration}. Go on?"
    )


def _tried(place: _Place, ui: Ui, wishes: Wishes, checks: Sequence[CheckDone]) -> int:
    """Run the steps in a folder of its own, which stays only if something is left."""
    options = ["--region", place.target.region]
    if place.target.sandbox is not None:
        options.append("--sandbox")
    trial = _trial(place, options, ui)
    code = 0
    with Interrupts() as interrupts:
        try:
            with interrupts.raised():
                trial.run(quick=wishes.quick)
        except KeyboardInterrupt:
            ui.emit(Message(message="Interrupted."))
            code = failures.INTERRUPTED
        except TerraliveError:
            code = failures.FAILED  # the step has shown it
        except Exception as error:  # noqa: BLE001  # everything has to be removed
            ui.emit(failures.describe(error))
            code = failures.FAILED
        is_clean = trial.remove(interrupts)
    name = f"{APP}-{place.stage}.md"
    file = _written(_page(place, wishes, checks, trial), wishes.report or Path.cwd() / name)
    ok = code == 0 and is_clean
    if is_clean:
        shutil.rmtree(place.folder, ignore_errors=True)
        ui.emit(SelfTestDone(ok, is_clean, str(file)))
    else:
        folder = str(place.folder)
        words = ["terralive", "--project", folder, *options, "destroy", "--app", "--yes"]
        ui.emit(SelfTestDone(ok, is_clean, str(file), folder, shlex.join(words)))
    if code == 0 and not is_clean:
        return failures.FAILED
    return code


def _written(page: str, file: Path) -> Path:
    """Write the report, in the folder for temporary files if its file cannot be written."""
    try:
        file.write_text(page, "utf-8")
    except OSError:
        file = Path(tempfile.gettempdir()) / file.name
        file.write_text(page, "utf-8")
    return file


def _trial(place: _Place, options: Sequence[str], ui: Ui) -> Trial:
    from botocore.config import Config as ClientConfig  # noqa: PLC0415  # heavy

    target = place.target
    caller = target.caller
    client = caller.session.client(
        "lambda",
        endpoint_url=caller.endpoint_url,
        # Its own answer is what is measured, and a repetition would hide a failure.
        config=ClientConfig(read_timeout=_ANSWER_SECONDS, retries={"total_max_attempts": 1}),
    )
    project = write_project(place.folder, place.stage, place.config, caller.account, target.sandbox)
    environment = environment_of(os.environ, place.config.user, target.region)
    return Trial(project, client, environment, options, ui.emit)


def _page(place: _Place, wishes: Wishes, checks: Sequence[CheckDone], trial: Trial) -> str:
    target = place.target
    where = "AWS"
    if target.sandbox is not None:
        where = "the sandbox"
    elif target.caller.emulator is not None:
        where = "an emulator"
    facts = Facts(
        when=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        place=where,
        region=target.region,
        is_quick=wishes.quick,
    )
    page = report(facts, checks, trial.steps, trial.problems)
    if wishes.with_names:
        return page
    config = place.config
    private = [str(place.folder), str(config.project), str(Path.home()), socket.gethostname()]
    private += [config.user, getpass.getuser(), config.app]
    return redacted(page, [word for word in private if len(word) > _SHORT])

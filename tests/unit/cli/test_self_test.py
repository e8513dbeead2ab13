"""The self-test of `terralive doctor`: its project, its report, and what it leaves out of it."""

from __future__ import annotations

import json
import signal
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from terralive_cli.configuration.loading import load
from terralive_cli.configuration.tables import DebugStackConfig, TerraformConfig
from terralive_cli.configuration.values import Config
from terralive_cli.doctor.findings import CheckDone, Outcome, warning
from terralive_cli.doctor.self_test.project import (
    SelfTestProject,
    new_stage,
    settings_text,
    write_project,
)
from terralive_cli.doctor.self_test.report import Facts, redacted, report
from terralive_cli.doctor.self_test.results import SelfTestDone, SelfTestStep, measured
from terralive_cli.doctor.self_test.running import environment_of
from terralive_cli.doctor.self_test.trial import Trial
from terralive_cli.main import main
from terralive_cli.output.formats.plain import plain_text
from terralive_cli.output.formats.text import TextLines
from terralive_cli.output.interrupts import Interrupts
from terralive_relay.events import Event
from terralive_stub.errors import TerraliveError
from terralive_stub.shared.json_documents import Json

ACCOUNT = "123456789012"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/developer"
FACTS = Facts("2026-11-30 15:00 UTC", "AWS", "eu-west-1", is_quick=True)


def config(folder: Path) -> Config:
    demands = DebugStackConfig(
        permissions_boundary=BOUNDARY, role_path="/team/", tags={"cost center": "a = b"}
    )
    return Config(folder, "orders", "dev-ana", "ana", TerraformConfig(folder), debug_stack=demands)


def shown(event: Event) -> list[str]:
    return [plain_text(line) for line in TextLines().lines(event)]


def test_the_organisations_demands_hold_for_the_self_test_too(tmp_path: Path) -> None:
    settings = settings_text(config(tmp_path), "t123abc", ACCOUNT)
    document = tomllib.loads(settings)
    assert document["debug_stack"]["permissions_boundary"] == BOUNDARY
    assert document["debug_stack"]["tags"] == {"cost center": "a = b"}
    assert document["accounts"] == [ACCOUNT]

    project = write_project(tmp_path, "t123abc", config(tmp_path), ACCOUNT, None)

    loaded = load(project=tmp_path, flags={}, environ={}, user="ana", arguments=())
    assert (loaded.app, loaded.stage) == ("terralive-selftest", "t123abc")
    assert loaded.debug_stack.role_path == "/team/"
    assert loaded.terraform.found
    values = json.loads((tmp_path / "terraform.tfvars.json").read_text())
    assert (values["permissions_boundary"], values["role_path"]) == (BOUNDARY, "/team/")
    assert values["runtime"] == f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert project.echo == "terralive-selftest-t123abc-echo"


def test_an_edit_changes_the_code_that_runs_here_and_not_what_was_deployed(
    tmp_path: Path,
) -> None:
    project = write_project(tmp_path, "t123abc", config(tmp_path), ACCOUNT, None)
    zipped = (tmp_path / "code.zip").read_bytes()
    project.edit(2)
    assert "\nEDITION = 2\n" in (tmp_path / "code" / "selftest.py").read_text()
    assert (tmp_path / "code.zip").read_bytes() == zipped


def test_every_self_test_has_a_stage_of_its_own() -> None:
    assert new_stage() != new_stage()


def test_settings_of_another_project_do_not_reach_its_commands() -> None:
    environ = {
        "PATH": "/bin",
        "AWS_PROFILE": "dev",
        "TERRALIVE_STAGE": "dev-ana",
        "AWS_REGION": "us-east-1",
        "TERRALIVE_APP": "orders",
        "TERRALIVE_PROVIDER_MIRROR": "/mirror",
        "TF_VAR_name": "orders",
        "TF_CLI_ARGS_plan": "-var-file=x",
        "TF_WORKSPACE": "dev",
        "TF_CLI_CONFIG_FILE": "/rc",
    }
    assert environment_of(environ, "ana", "eu-west-1") == {
        "PATH": "/bin",
        "AWS_PROFILE": "dev",
        "TERRALIVE_PROVIDER_MIRROR": "/mirror",
        "TF_CLI_CONFIG_FILE": "/rc",
        "TERRALIVE_USER": "ana",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


def test_the_report_has_the_checks_the_steps_and_the_times() -> None:
    finding = warning("clock-differs", "The clock | is wrong.", why="", fix="")
    checks = [CheckDone.of("clock", Outcome("90 s from AWS's clock", (finding,)))]
    times = (measured("round trip, 1 KB each way", [0.05, 0.04, 0.2]),)
    steps = [
        SelfTestStep("round trips", ok=True, elapsed_s=1.0, message="fine", measured=times),
        SelfTestStep("edit", ok=False, elapsed_s=60.0, message="The edit\ndid not run."),
    ]
    page = report(FACTS, checks, steps, ["`no-fallback`: x"])
    assert "2026-11-30 15:00 UTC, AWS, eu-west-1, quick form." in page
    assert "| clock | warning | 90 s from AWS's clock |" in page
    assert "- `clock-differs` (clock): The clock \\| is wrong." in page
    assert "| round trips | ok | 1.0 | fine |" in page
    assert "| edit | failed | 60.0 | The edit did not run. |" in page
    assert "| round trip, 1 KB each way | 50.0 | 40.0 | 200.0 | 3 |" in page
    assert "- `no-fallback`: x" in page


def test_the_report_names_no_account_key_person_folder_or_api() -> None:
    text = (
        f"arn:aws:sts::{ACCOUNT}:assumed-role/admins/ana@acme.example in account {ACCOUNT}, "
        "key ASIAABCDEFGHIJKLMNOP, /home/ana/orders/main.tf, anaconda, "
        "wss://abcd1234ef.execute-api.eu-west-1.amazonaws.com/relay"
    )
    assert redacted(text, ["ana", "/home/ana"]) == (
        "arn:aws:sts::ACCOUNT:assumed-role/NAME in account ACCOUNT, "
        "key KEY, …/orders/main.tf, anaconda, "
        "wss://API.execute-api.eu-west-1.amazonaws.com/relay"
    )


def test_the_screen_says_how_to_remove_what_is_left() -> None:
    command = "terralive --project /left destroy --app --yes"
    event = SelfTestDone(ok=False, is_clean=False, report="r.md", folder="/left", command=command)
    assert shown(event) == [
        "The self-test has not succeeded.",
        "The report, to attach to an issue: r.md",
        "Not everything is removed. The Terraform state is in /left. Remove it by:",
        f"  {command}",
    ]


def test_a_step_shows_its_times() -> None:
    times = (measured("edit to live", [0.25]), measured("round trip", [0.1, 0.3]))
    step = SelfTestStep("edit", ok=True, elapsed_s=2.0, message="done", measured=times)
    assert shown(step) == [
        "ok       edit                done  2.0 s",
        "    edit to live: 250 ms",
        "    round trip: 200 ms (100 ms to 300 ms, 2 times)",
    ]


@dataclass
class Said:
    """A command that has ended, or that runs until it is interrupted.

    Attributes:
        words: the words behind `terralive`.
        code: its exit code; None while it runs.
    """

    words: Sequence[str]
    code: int | None = 0
    events: list[dict[str, Json]] = field(default_factory=list)
    interrupts: int = 0

    def wait_for(self, kind: str, timeout_s: float, **_: Json) -> dict[str, Json]:
        raise TerraliveError("self-test-failed", f"no {kind} in {timeout_s} s")

    def require_alive(self) -> None:
        raise TerraliveError("self-test-failed", "it has ended")

    def interrupt(self) -> None:
        self.interrupts += 1
        if self.interrupts > 0 and self.code is None:
            self.code = 130

    def finish(self, timeout_s: float) -> int | None:
        del timeout_s
        return self.code

    def kill(self) -> None:
        raise AssertionError("it has ended")

    def failure(self) -> str:
        return "Terraform failed [terraform-failed]"


class Pressed(Interrupts):
    """Ctrl-C, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times

    def wait(self, seconds: float, file: int | None = None) -> signal.Signals | None:
        del seconds, file
        self._times -= 1
        return signal.SIGINT if self._times >= 0 else None


class NoFunctions:
    """Lambda without any function."""

    exceptions = SimpleNamespace(ResourceNotFoundException=KeyError)

    def get_function(self, **names: str) -> None:
        raise KeyError(names)


def trial(tmp_path: Path, *codes: int | None) -> tuple[Trial, list[Said]]:
    """A self-test whose commands end with these codes, one after the other."""
    said: list[Said] = []

    def new_command(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Said:
        del folder, environment
        said.append(Said(words, codes[len(said)]))
        return said[-1]

    client: Any = NoFunctions()
    project = SelfTestProject(tmp_path, "t123abc")
    made = Trial(project, client, {}, ("--sandbox",), lambda *_: None, new_command=new_command)
    return made, said


def test_everything_is_removed_when_a_step_fails(tmp_path: Path) -> None:
    made, said = trial(tmp_path, 1, 0)
    with pytest.raises(TerraliveError):
        made.run(quick=True)
    assert made.remove(Pressed(0))
    assert [command.words[0] for command in said] == ["start", "destroy"]
    assert said[1].words == ("destroy", "--app", "--yes", "--sandbox")
    assert [(step.step, step.ok) for step in made.steps] == [("deploy", False), ("remove", True)]


def test_a_destroy_that_fails_is_made_once_more(tmp_path: Path) -> None:
    made, said = trial(tmp_path, 1, 0)
    assert made.remove(Pressed(0))
    assert len(said) == 2
    made, said = trial(tmp_path, 1, 1)
    assert not made.remove(Pressed(0))
    assert made.steps[-1].message == "Terraform failed [terraform-failed]"


def test_the_second_interrupt_ends_the_removal(tmp_path: Path) -> None:
    made, said = trial(tmp_path, None)
    assert not made.remove(Pressed(2))
    assert (len(said), said[0].interrupts) == (1, 1)


def test_warnings_of_the_commands_are_problems_of_the_report(tmp_path: Path) -> None:
    made, said = trial(tmp_path, 0)
    made.remove(Pressed(0))
    said[0].events += [
        {"type": "warning", "reference": "no-fallback", "message": "x"},
        {"type": "warning", "reference": "no-fallback", "message": "x"},
        {"type": "connection", "state": "lost", "reason": "timed out"},
        {"type": "connection", "state": "connected"},
    ]
    assert made.problems == ["`no-fallback`: x", "connection lost: timed out"]


def test_options_of_the_self_test_without_it_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--project", str(tmp_path), "doctor", "--quick"]) == 2
    assert "Add --self-test." in capsys.readouterr().err

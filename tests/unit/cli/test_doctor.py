"""`terralive doctor`: the checks, one after the other, and what each of them decides."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import pytest

from terralive_cli.doctor.account.account import (
    Limits,
    clock_outcome,
    credentials_outcome,
    limits_outcome,
)
from terralive_cli.doctor.account.stages import is_stale, last_used, stages_outcome
from terralive_cli.doctor.examination import Check, examine
from terralive_cli.doctor.findings import (
    CheckDone,
    CheckState,
    Outcome,
    SkippedError,
    failed,
    warning,
)
from terralive_cli.doctor.functions import AppSeen, functions_outcome, others_outcome
from terralive_cli.doctor.machine.provider import from_mirror, installed_versions, of_registry
from terralive_cli.doctor.machine.versions import LOCK_FILE, Versions, describe, locked_provider
from terralive_cli.joining.concurrency import Concurrency
from terralive_cli.output.formats.plain import plain_text
from terralive_cli.output.formats.text import TextLines
from terralive_cli.stages.tagged import TaggedStack
from terralive_relay.events import Event, Warned
from terralive_stub.broker.leases import Lease, LeaseState
from terralive_stub.errors import ConfigurationError, CredentialsError
from terralive_terraform.substitution.marker import StageName
from terralive_terraform.substitution.rules import NotLive
from terralive_workers.function import LocalCode

NOW = dt.datetime(2026, 11, 30, 15, 0, tzinfo=dt.UTC).timestamp()
ARN = "arn:aws:sts::123456789012:assumed-role/dev/ana"


def found(events: list[Event]) -> list[CheckDone]:
    return [event for event in events if isinstance(event, CheckDone)]


def references(outcome: Outcome) -> list[str]:
    return [finding.reference for finding in outcome.findings]


def shown(*events: Event) -> list[str]:
    lines = TextLines()
    return [plain_text(line) for event in events for line in lines.lines(event)]


def no_credentials() -> Outcome:
    raise CredentialsError("no-credentials", "No AWS credentials were found.", hint="Sign in.")


def needs_credentials() -> Outcome:
    raise SkippedError("needs credentials")


def broken() -> Outcome:
    raise ZeroDivisionError("by zero")


def test_a_check_that_fails_by_itself_does_not_end_the_others() -> None:
    checks = [
        Check("credentials", no_credentials, "Nothing works without them."),
        Check("limits", needs_credentials, ""),
        Check("broken", broken, ""),
        Check("clock", lambda: Outcome("1 s from AWS's clock"), ""),
    ]
    events: list[Event] = []
    done = examine(checks, lambda *more: events.extend(more))

    assert [(event.check, event.state) for event in found(events)] == [
        ("credentials", CheckState.FAILED),
        ("limits", CheckState.SKIPPED),
        ("broken", CheckState.FAILED),
        ("clock", CheckState.OK),
    ]
    assert (done.ok, done.warnings, done.failed, done.skipped) == (1, 0, 2, 1)
    credentials, _, bug, _ = found(events)
    (finding,) = credentials.findings
    assert (finding.reference, finding.why) == ("no-credentials", "Nothing works without them.")
    assert finding.fix == "Sign in."
    assert bug.findings[0].reference == "check-failed"
    assert "ZeroDivisionError: by zero" in bug.findings[0].message


def test_a_check_is_as_bad_as_its_worst_finding() -> None:
    careful = warning("a", "A", why="", fix="")
    bad = failed("b", "B", why="", fix="")
    assert Outcome("", (careful,)).state is CheckState.WARNING
    assert Outcome("", (careful, bad, careful)).state is CheckState.FAILED
    assert Outcome("").state is CheckState.OK
    assert Outcome("", is_skipped=True).state is CheckState.SKIPPED


def test_a_finding_says_what_why_and_how_to_mend_it() -> None:
    finding = warning("not-live", "b: no code.", why="It stays.", fix="Add:\npath = 'src'")
    event = CheckDone.of("functions", Outcome("1 of 2 can run here", (finding,)))
    assert shown(event) == [
        "warning  functions    1 of 2 can run here",
        "    b: no code. [not-live]",
        "    Why: It stays.",
        "    → Add:",
        "      path = 'src'",
    ]


def test_the_sum_names_what_there_is() -> None:
    events: list[Event] = []
    examine([Check("a", lambda: Outcome(""), "")], lambda *more: events.extend(more))
    done = examine([Check("a", no_credentials, "")], lambda *_: None)
    assert shown(done) == ["1 check: 0 ok, 1 failed"]


def test_credentials_tell_who_the_caller_is_and_until_when() -> None:
    later = dt.datetime.fromtimestamp(NOW + 3600, dt.UTC)
    soon = dt.datetime.fromtimestamp(NOW + 240, dt.UTC)
    assert credentials_outcome(ARN, "123456789012", None, NOW).message == (
        f"{ARN} in account 123456789012"
    )
    outcome = credentials_outcome(ARN, "123456789012", later, NOW)
    assert outcome.findings == ()
    assert f"until {later.astimezone():%Y-%m-%d %H:%M}" in outcome.message
    (finding,) = credentials_outcome(ARN, "123456789012", soon, NOW).findings
    assert finding.reference == "credentials-expire-soon"
    assert finding.message == "The credentials expire in 4 minutes."


@pytest.mark.parametrize(
    ("offset_s", "expected"), [(2.0, []), (-59.0, []), (90.0, ["clock-differs"])]
)
def test_a_clock_that_differs_is_warned_of(offset_s: float, expected: list[str]) -> None:
    assert references(clock_outcome(offset_s)) == expected


def test_low_limits_are_warned_of() -> None:
    usual = limits_outcome(Limits(Concurrency(1000, 980), 10_000.0), "eu-west-1")
    assert usual.findings == ()
    assert "1000 concurrent executions, 980" in usual.message
    assert "10000 requests per second" in usual.message
    low = limits_outcome(Limits(Concurrency(10, 10), 500.0), "eu-west-1")
    assert references(low) == ["account-concurrency-low", "api-gateway-throttle-low"]
    unknown = limits_outcome(Limits(), "eu-west-1")
    assert unknown.state is CheckState.SKIPPED
    assert "lambda:GetAccountSettings" in unknown.message


def lease(state: LeaseState, until: float = 0.0, expires: float = 0.0) -> Lease:
    return Lease(
        relay="r",
        connection="c",
        owner="ana",
        machine="m",
        arn=ARN,
        functions=frozenset(),
        state=state,
        since_ms=int((NOW - 9 * 86400) * 1000),
        until_ms=int(until * 1000),
        expires_ms=int(expires * 1000),
        version=1,
    )


def stack(created: str) -> TaggedStack:
    return TaggedStack(
        stage=StageName("orders", "dev-ana"),
        owner="ana",
        created=created,
        version="1.0",
        source="orders",
        name="terralive-orders-dev-ana",
        arns=(),
        tags={},
    )


def test_a_stage_is_stale_when_nobody_has_used_it_for_days() -> None:
    stage = stack("2026-11-20")
    assert last_used(stage, None, NOW) == dt.date(2026, 11, 20)
    assert last_used(stage, lease(LeaseState.HELD, expires=NOW + 60), NOW) is None
    yesterday = last_used(stage, lease(LeaseState.RELEASED, until=NOW - 86400), NOW)
    assert yesterday == dt.date(2026, 11, 29)
    assert not is_stale(yesterday, NOW)
    assert is_stale(dt.date(2026, 11, 27), NOW)
    assert last_used(stack("?"), None, NOW) is None


def test_a_stale_stage_is_named_with_the_command_that_removes_it() -> None:
    stacks = (stack("2026-11-20"),)
    outcome = stages_outcome(stacks, [(stacks[0], dt.date(2026, 11, 20))], "ana")
    assert outcome.message == "1 debug stack in this region, 1 of them yours"
    (finding,) = outcome.findings
    assert finding.reference == "stage-stale"
    assert "terralive destroy --stage dev-ana" in finding.fix


def test_functions_that_stay_as_they_are_are_named_with_what_to_add() -> None:
    refused = {
        "aws_lambda_function.a": NotLive("aws_lambda_function.a", "no code", lines=("[x]", "y")),
        "aws_lambda_function.b": NotLive("aws_lambda_function.b", "--only leaves it out"),
        "aws_lambda_function.c": NotLive("aws_lambda_function.c", "wrong path. Correct it."),
    }
    errors = {
        "aws_lambda_function.c": ConfigurationError("function-path-missing", "wrong path", hint="!")
    }
    outcome = functions_outcome(AppSeen(refused=refused, errors=errors))
    assert references(outcome) == ["not-live", "function-path-missing"]
    assert outcome.message == "0 of 2 can run here"
    assert outcome.state is CheckState.FAILED
    assert outcome.findings[0].fix == "Add to terralive.toml:\n[x]\ny"


def local_code(folder: Path, address: str, runtime: str, handler: str = "app.handler") -> LocalCode:
    return LocalCode(
        address=address,
        runtime=runtime,
        handler=handler,
        path=folder,
        python=Path(sys.executable),
        node=Path("node"),
    )


def test_functions_with_another_interpreter_are_named_together(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context): ...\n", "utf-8")
    this = f"python{sys.version_info.major}.{sys.version_info.minor}"
    code = {
        "f.a": local_code(tmp_path, "f.a", "python3.1"),
        "f.b": local_code(tmp_path, "f.b", this),
        "f.c": local_code(tmp_path, "f.c", "python3.1"),
        "f.d": local_code(tmp_path, "f.d", this, "app.main"),
    }
    outcome = functions_outcome(AppSeen(code=code))
    assert outcome.message == "4 of 4 can run here"
    assert references(outcome) == ["handler-doubtful", "runtime-differs"]
    doubtful, differs = outcome.findings
    assert doubtful.message.startswith("f.d: ")
    assert differs.message.endswith(": f.a, f.c.")
    assert differs.message.startswith("python3.1 in Lambda, and 3.")


def test_stubs_of_other_stages_are_named() -> None:
    other = Warned("stage-held-elsewhere", "These functions are live for stage orders/dev-bob: a.")
    assert references(others_outcome(AppSeen(warned=(other,)))) == ["stage-held-elsewhere"]
    assert others_outcome(AppSeen(warned=(Warned("x", "y"),))).state is CheckState.OK


def test_the_versions_are_in_one_line_with_what_is_missing() -> None:
    versions = Versions("1.0", "3.12.4", "", "OpenTofu", "1.9.0", "6.2.0")
    assert describe(versions) == (
        "terralive 1.0, Python 3.12.4, OpenTofu 1.9.0, AWS provider 6.2.0, no Node.js"
    )


def test_the_version_of_the_provider_is_that_of_the_lock_file(tmp_path: Path) -> None:
    lock = tmp_path / LOCK_FILE
    assert locked_provider(lock) == ""
    lock.write_text(
        'provider "registry.terraform.io/hashicorp/aws" {\n  version = "6.2.0"\n}\n', "utf-8"
    )
    assert locked_provider(lock) == "6.2.0"


def test_an_installed_provider_is_found(tmp_path: Path) -> None:
    registry = "registry.terraform.io"
    assert installed_versions([tmp_path], registry) == []
    (tmp_path / registry / "hashicorp" / "aws" / "6.2.0" / "linux_amd64").mkdir(parents=True)
    assert installed_versions([tmp_path], registry) == ["6.2.0"]


def test_a_provider_that_nothing_has_is_a_failure() -> None:
    assert references(of_registry("registry.terraform.io", "timed out")) == ["provider-unavailable"]
    assert of_registry("registry.terraform.io", "").state is CheckState.OK
    assert references(from_mirror(Path("/m"), has_provider=False)) == ["provider-mirror"]

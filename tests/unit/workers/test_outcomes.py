from __future__ import annotations

import json
import signal

import pytest

from terralive_stub.protocol.invocation import Outcome
from terralive_workers import outcomes
from terralive_workers.outcomes import WorkerFailure

# "killed" on Linux, "killed: 9" on macOS.
KILLED = (signal.strsignal(9) or "").lower()


def document(outcome: Outcome) -> dict[str, str]:
    found: dict[str, str] = json.loads(outcome.body)
    assert found["errorType"] == outcome.error_type
    return found


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (0, "RequestId: r-1 Error: Runtime exited without providing a reason"),
        (3, "RequestId: r-1 Error: Runtime exited with error: exit status 3"),
        (-9, f"RequestId: r-1 Error: Runtime exited with error: signal: {KILLED}"),
        (-250, "RequestId: r-1 Error: Runtime exited with error: signal: 250"),
    ],
)
def test_a_worker_that_ends_without_an_answer_is_an_exit_error(status: int, message: str) -> None:
    outcome = WorkerFailure(status=status).outcome("r-1")
    assert document(outcome) == {"errorType": "Runtime.ExitError", "errorMessage": message}


def test_a_worker_that_never_starts_is_an_invalid_entry_point() -> None:
    outcome = WorkerFailure(status=FileNotFoundError(2, "No such file or directory")).outcome("r-1")
    assert document(outcome) == {
        "errorType": "Runtime.InvalidEntrypoint",
        "errorMessage": "RequestId: r-1 Error: No such file or directory",
    }


def test_an_error_that_the_runtime_reported_is_the_outcome_as_it_is() -> None:
    reported = Outcome(b'{"errorType": "Runtime.ImportModuleError"}', "Runtime.ImportModuleError")
    assert WorkerFailure(document=reported, status=1).outcome("r-1") is reported


def test_a_timeout_has_lambdas_words_and_its_time() -> None:
    outcome = outcomes.timed_out("r-1", 2.5, 1_700_000_000.25)
    assert document(outcome) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "2023-11-14T22:13:20.250Z r-1 Task timed out after 2.50 seconds",
    }


@pytest.mark.parametrize(
    ("status", "reason"),
    [(2, "exit status 2"), (OSError(13, "Permission denied"), "Permission denied")],
)
def test_a_failed_build_contains_the_reason_and_the_last_lines(
    status: int | OSError, reason: str
) -> None:
    outcome = outcomes.build_failed("npm run build", status, ["line 1", "line 2"])
    assert document(outcome) == {
        "errorType": "Terralive.BuildFailed",
        "errorMessage": f"The build command failed ({reason}): npm run build\nline 1\nline 2",
    }


def test_an_invocation_that_terralive_stops_names_its_function() -> None:
    assert "orders" in document(outcomes.stopped("orders"))["errorMessage"]

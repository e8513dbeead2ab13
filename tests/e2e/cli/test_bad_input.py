"""Mistakes and failures of users: each ends in an error that says what to do.

Held for every one: a reference, a hint, the documented exit code, no traceback, and nothing left
half-deployed without saying so. One sandbox and one small plain Terraform app, in the order of a
bad day.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from terralive_testing.drivers.command import Command, Event, run
from terralive_testing.drivers.plain_app import (
    CONFIGURATION,
    HANDLER,
    MAIN,
    add,
    files,
    left,
    plain_project,
    reset,
    start,
)
from terralive_testing.drivers.project import Project

pytestmark = pytest.mark.timeout(300)

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wrong"}
REGION = {"AWS_REGION": "eu-west-1"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return plain_project(tmp_path_factory.mktemp("bad") / "plain")


@pytest.fixture(scope="module")
def sandbox(project: Project) -> Iterator[Command]:
    with Command(["sandbox"], project.root) as command:
        project.sandbox = command.wait_for_type("ready")["sandbox"]
        yield command


@pytest.fixture(autouse=True)
def as_it_was(project: Project) -> Iterator[None]:
    yield
    reset(project)


def error_of(command: Command, reference: str, code: int) -> Event:
    """The one error of a command that has ended, with everything that an error has to have."""
    assert command.process.returncode == code, command.story()
    errors = command.of_type("error")
    assert [error["reference"] for error in errors] == [reference], command.story()
    assert errors[0]["hint"], errors
    assert "Traceback" not in errors[0]["message"]
    assert command.noise == [], command.story()
    return errors[0]


def applied(command: Command) -> bool:
    return any(event["action"] == "apply" for event in command.of_type("stack"))


# Before there is an account


@pytest.mark.parametrize(
    ("environment", "reference", "code"),
    [
        ({}, "no-region", 2),
        (REGION, "no-credentials", 4),
        ({**REGION, "AWS_PROFILE": "nobody"}, "aws-profile-missing", 4),
        ({**REGION, "AWS_ACCESS_KEY_ID": "half"}, "aws-settings", 4),
        ({**REGION, **KEYS, "AWS_ENDPOINT_URL": "not a url"}, "aws-settings", 4),
        # Nobody listens on the port `discard`, and the system gives it to nobody.
        ({**REGION, **KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "aws-unreachable", 4),
    ],
    ids=["no region", "no credentials", "no such profile", "half a key", "no url", "unreachable"],
)
def test_without_a_usable_account_it_says_what_is_missing(
    project: Project, tmp_path: Path, environment: Mapping[str, str], reference: str, code: int
) -> None:
    command = run(["start", "--yes"], project.root, {"HOME": str(tmp_path), **environment})

    error_of(command, reference, code)


@pytest.mark.parametrize(
    ("text", "reference", "said"),
    [
        ("app = plain", "configuration-syntax", "line 1"),
        (CONFIGURATION.replace("path =", "pth ="), "configuration-invalid", '"path"'),
        (CONFIGURATION + "[terraform]\ndir = 3\n", "configuration-invalid", "terraform.dir"),
    ],
    ids=["not TOML", "unknown key", "wrong type"],
)
def test_a_broken_terralive_toml_is_named_with_its_place(
    project: Project, text: str, reference: str, said: str
) -> None:
    (project.root / "terralive.toml").write_text(text, "utf-8")

    error = error_of(run(["start", "--sandbox", "--yes"], project.root), reference, 2)

    assert "terralive.toml" in error["message"]
    assert said in error["message"]


def test_a_protected_stage_a_missing_sandbox_and_a_missing_terraform(
    project: Project, tmp_path: Path
) -> None:
    protected = run(["--stage", "prod-eu", "start", "--sandbox", "--yes"], project.root)
    assert "prod-eu" in error_of(protected, "stage-protected", 2)["message"]

    alone = run(["restore", "--sandbox", "--yes"], project.root)
    assert "terralive sandbox" in error_of(alone, "no-sandbox", 2)["hint"]

    without = run(["start", "--sandbox", "--yes"], project.root, {"PATH": str(tmp_path)})
    assert "1.5" in error_of(without, "terraform-missing", 2)["message"]


def test_a_port_that_is_taken_is_said_to_be(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert (
            port
            in error_of(run(["sandbox", "--port", port], project.root), "port-in-use", 2)["message"]
        )


# With the sandbox, and nothing deployed yet


def test_a_sandbox_that_is_reset_is_empty_and_has_its_address(
    project: Project, sandbox: Command
) -> None:
    before = project.sandbox
    project.client("sqs").create_queue(QueueName="left")
    assert run(["sandbox", "--reset"], project.root).process.returncode == 0
    project.sandbox = sandbox.wait_for_type("ready")["sandbox"]
    assert project.sandbox["endpoint"] == before["endpoint"]
    assert "QueueUrls" not in project.client("sqs").list_queues()


def test_wrong_keys_and_right_keys_without_the_option_are_refused(
    project: Project, sandbox: Command
) -> None:
    assert sandbox.process.poll() is None
    environment = {**REGION, **KEYS, "AWS_ENDPOINT_URL": project.sandbox["endpoint"]}

    error_of(run(["start", "--yes"], project.root, environment), "credentials-rejected", 4)

    environment["AWS_ACCESS_KEY_ID"] = project.sandbox["access_key_id"]
    error_of(run(["start", "--yes"], project.root, environment), "credentials-rejected", 4)

    # As `eval "$(terralive sandbox --env)"` does it.
    environment["AWS_SECRET_ACCESS_KEY"] = project.sandbox["secret_access_key"]
    error = error_of(run(["start", "--yes"], project.root, environment), "sandbox-not-named", 2)
    assert "--sandbox" in error["hint"]


@pytest.mark.usefixtures("sandbox")
def test_without_a_terminal_and_yes_nothing_changes(project: Project) -> None:
    command = run(["start", "--sandbox"], project.root)

    assert "--yes" in error_of(command, "confirmation-needed", 2)["hint"]
    assert not applied(command)
    assert left(project) == {}


@pytest.mark.usefixtures("sandbox")
def test_a_missing_handler_is_found_before_anything_is_deployed(project: Project) -> None:
    toml = CONFIGURATION + 'handler = "main.handler"\n'
    (project.root / "terralive.toml").write_text(toml, "utf-8")

    command = run(["start", "--sandbox", "--yes"], project.root)

    error = error_of(command, "handler-missing", 2)
    assert "main.handler" in error["message"]
    assert "app.py" in error["message"]
    assert not applied(command)
    assert left(project) == {}


@pytest.mark.usefixtures("sandbox")
def test_what_terraform_does_not_accept_is_said_in_its_own_words_before_anything_is_deployed(
    project: Project,
) -> None:
    before = files(project)
    add(project, 'resource "aws_sqs_queue" "jobs" {\n  name = "has spaces in it"\n}\n')

    command = run(["start", "--sandbox", "--yes"], project.root)

    error = error_of(command, "terraform-failed", 3)
    assert "invalid queue name: has spaces in it" in error["message"]
    assert "aws_sqs_queue.jobs" in error["message"]
    assert f"main.tf:{MAIN.count(chr(10)) + 1}" in error["message"]
    shows_what_is_known(command)
    assert not applied(command)
    assert left(project) == {}
    reset(project)
    assert files(project) == before


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    ("terraform", "reference", "said"),
    [
        ('variable "team" {}\n', "terraform-failed", "No value for required variable"),
        ('provider "nothing" {}\n', "registry-unreachable", "hashicorp/nothing"),
    ],
    ids=["a variable is missing", "a provider cannot be installed"],
)
def test_a_plan_that_fails_shows_first_what_is_known_without_it(
    project: Project, terraform: str, reference: str, said: str
) -> None:
    add(project, terraform)

    command = run(["plan", "--sandbox"], project.root)

    assert said in error_of(command, reference, 3)["message"]
    shows_what_is_known(command)


def shows_what_is_known(command: Command) -> None:
    """Require that a command has shown the functions of the app's files before its error."""
    kinds = [event["type"] for event in command.events]
    assert kinds.index("plan") < kinds.index("error"), command.story()
    (plan,) = command.of_type("plan")
    (function,) = plan["functions"]
    assert (function["address"], function["handler"]) == (
        "aws_lambda_function.greet",
        "app.handler",
    )
    assert "changes" not in plan, "there is no plan"


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    ("broken", "line", "hidden"),
    [
        (
            MAIN + 'output "x" {\n  value =\n}\n',
            MAIN.count("\n") + 2,
            "No function is declared there",
        ),
        (
            MAIN.replace("timeout          = 10", "timeout          = = 10"),
            MAIN[: MAIN.index("timeout")].count("\n") + 1,
            "are not found, and stay as they are",
        ),
    ],
    ids=["beside the function", "in the function"],
)
def test_a_file_that_cannot_be_read_is_named_with_its_line_and_hides_only_what_stands_there(
    project: Project, broken: str, line: int, hidden: str
) -> None:
    (project.root / "main.tf").write_text(broken, "utf-8")

    command = run(["start", "--sandbox", "--yes"], project.root)

    error = error_of(command, "terraform-failed", 3)
    assert f"\n  {line}: " in error["message"], "Terraform names the same line"
    (warning,) = command.of_type("warning")
    assert warning["reference"] == "terraform-unreadable"
    assert f"main.tf:{line}" in warning["message"]
    assert hidden in warning["message"]
    assert left(project) == {}


@pytest.mark.usefixtures("sandbox")
def test_a_program_that_raises_shows_its_own_traceback_and_nothing_is_deployed(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "main.py").write_text(
        "def stack():\n    raise LookupError('no such subnet')\n\nstack()\n", "utf-8"
    )
    (tmp_path / "cdktf.json").write_text(
        json.dumps({"language": "python", "app": "python main.py"}), "utf-8"
    )
    (tmp_path / ".terralive").mkdir()
    os.link(project.root / ".terralive" / "sandbox.json", tmp_path / ".terralive" / "sandbox.json")

    command = run(["start", "--sandbox", "--yes"], tmp_path)

    assert command.process.returncode == 3, command.story()
    error = command.of_type("error")[0]
    assert error["reference"] == "app-failed"
    assert "LookupError: no such subnet" in error["message"]
    assert "python main.py" in error["hint"]
    assert not applied(command)
    assert left(project) == {}


# Half deployed


@pytest.mark.usefixtures("sandbox")
def test_an_apply_that_fails_half_way_says_what_stays_and_destroy_takes_it_back(
    project: Project,
) -> None:
    add(
        project,
        """
        resource "aws_sns_topic_subscription" "greet" {
          topic_arn = "arn:aws:sns:us-east-1:123456789012:nobody-made-it"
          protocol  = "lambda"
          endpoint  = aws_lambda_function.greet.arn
        }
        """,
    )

    command = run(["start", "--sandbox", "--yes"], project.root)

    error = error_of(command, "terraform-failed", 3)
    assert "Topic does not exist" in error["message"]
    assert "aws_sns_topic_subscription.greet" in error["message"]
    assert "stays" in error["hint"]
    assert "terralive destroy" in error["hint"]
    assert left(project)["functions"]

    again = run(["apply", "--sandbox", "--yes"], project.root)
    assert "Topic does not exist" in error_of(again, "terraform-failed", 3)["message"]

    undone = run(["destroy", "--app", "--sandbox", "--yes"], project.root)
    assert undone.process.returncode == 0, undone.story()
    assert left(project) == {}


# Live, with code that does not run


@pytest.fixture(scope="module")
def live(project: Project, sandbox: Command) -> Iterator[Command]:
    """Live from the first moment, with a handler that Python cannot read."""
    assert sandbox.process.poll() is None
    (project.root / "functions" / "greet" / "app.py").write_text(
        "def handler(event, context)\n    return 1\n", "utf-8"
    )
    with start(project) as command:
        command.wait_for_type("ready", timeout_s=180)
        yield command


def invoke(project: Project) -> dict[str, Any]:
    answer = project.client("lambda").invoke(FunctionName="plain-greet", Payload=b"{}")
    return {"error": answer.get("FunctionError"), "payload": json.loads(answer["Payload"].read())}


def edit(project: Project, live: Command, source: str) -> None:
    project.write_handler("greet", source)
    live.wait_for_type("reload")


def test_a_handler_with_a_syntax_error_is_live_with_a_warning_and_is_the_callers_error(
    project: Project, live: Command
) -> None:
    answer = invoke(project)

    warnings = [
        event["message"]
        for event in live.of_type("warning")
        if event["reference"] == "handler-doubtful"
    ]
    assert len(warnings) == 1
    assert f"{project.root / 'functions' / 'greet' / 'app.py'}:1: expected ':'" in warnings[0]
    assert answer["error"] == "Unhandled"
    assert answer["payload"]["errorType"] == "Runtime.UserCodeSyntaxError"
    assert "app.py" in answer["payload"]["errorMessage"] + "".join(
        answer["payload"].get("stackTrace", [])
    )


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import no_such_module\n", "Runtime.ImportModuleError"),
        ("def other(event, context):\n    return 1\n", "Runtime.HandlerNotFound"),
        ("raise RuntimeError('at import')\n", "RuntimeError"),
        ("import os\n\ndef handler(event, context):\n    os._exit(3)\n", "Runtime.ExitError"),
        ("def handler(event, context):\n    return object()\n", "Runtime.MarshalError"),
    ],
    ids=["import", "no such function", "raises at import", "exits", "no JSON"],
)
def test_code_that_does_not_run_is_the_callers_error_and_the_next_save_heals_it(
    project: Project, live: Command, source: str, error: str
) -> None:
    edit(project, live, source)
    assert invoke(project)["payload"]["errorType"] == error

    edit(project, live, HANDLER)
    assert invoke(project)["payload"] == "deployed"


def test_a_sandbox_that_dies_under_a_live_relay_is_told_and_ctrl_c_still_ends_it(
    project: Project, live: Command, sandbox: Command
) -> None:
    sandbox.process.kill()
    sandbox.finish()

    lost = live.wait_for(
        lambda event: event["type"] == "connection" and event["state"] == "lost", "lost connection"
    )
    assert lost["reason"]
    again = live.wait_for(
        lambda event: event["type"] == "connection" and event["state"] == "lost", "another attempt"
    )
    assert again["retry_in_s"] > 0
    live.interrupt()
    assert live.finish(30) == 130, live.story()
    assert not any("Traceback" in line for line in live.noise)
    command = run(["destroy", "--app", "--sandbox", "--yes"], project.root)
    assert "keeps nothing" in error_of(command, "no-sandbox", 2)["hint"]
    assert set(files(project)) == {
        "main.tf",
        "terralive.toml",
        "greet.zip",
        "functions/greet/app.py",
    }

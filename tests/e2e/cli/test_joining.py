"""One debug stack and several checkouts: they join it, are refused, lose the state, are killed.

Data tracing writes the messages of a debug stack, with credentials, to CloudWatch: no checkout goes
live with it.

The tests run in order, in one sandbox. A second checkout has a copy of the app's state, as a team
that shares it has. It has no state of the debug stack.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.plain_app import left, plain_project, start
from terralive_testing.drivers.project import Project
from terralive_testing.machine.processes import descendants, running
from terralive_testing.machine.waiting import eventually

pytestmark = pytest.mark.timeout(400)

STAGE = "dev-ana"
SOURCE = 'source = "github.com/acme/plain"\n'


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The first developer's checkout, with a sandbox."""
    made = plain_project(tmp_path_factory.mktemp("joining") / "plain")
    toml = made.root / "terralive.toml"
    toml.write_text(SOURCE + toml.read_text("utf-8"), "utf-8")
    with Command(["sandbox"], made.root) as command:
        made.sandbox = command.wait_for_type("ready")["sandbox"]
        yield made


@pytest.fixture(scope="module")
def owner(first: Project) -> Project:
    """A checkout with settings of its own. Its apply takes over the state of the debug stack."""
    made = checkout(first, "third")
    toml = made.root / "terralive.toml"
    toml.write_text(toml.read_text("utf-8") + "\n[debug_stack]\nlog_retention_days = 14\n", "utf-8")
    return made


def work(project: Project) -> Path:
    """The stage's work folder."""
    (folder,) = (project.root / ".terralive" / "sandbox").glob(f"*/{STAGE}")
    return folder


def checkout(project: Project, name: str, *, source: str = SOURCE) -> Project:
    """Another checkout in the same account: with the app's state, without the debug stack's."""
    root = project.root.parent / name
    ignored = shutil.ignore_patterns(
        "debug-stack", "stub", "plans", "invocations", "terraform.tfrc"
    )
    shutil.copytree(project.root, root, ignore=ignored)
    toml = root / "terralive.toml"
    toml.write_text(toml.read_text("utf-8").replace(SOURCE, source), "utf-8")
    return Project(root, project.sandbox)


def apply(project: Project, *, code: int = 0, user: str = "ben") -> Command:
    command = run(
        ["--stage", STAGE, "apply", "--sandbox", "--yes"], project.root, {"TERRALIVE_USER": user}
    )
    assert command.process.returncode == code, command.story()
    return command


def destroy(project: Project, *, code: int = 0) -> Command:
    arguments = ["--stage", STAGE, "destroy", "--sandbox", "--yes", "--app"]
    command = run(arguments, project.root, {"TERRALIVE_USER": "ben"})
    assert command.process.returncode == code, command.story()
    return command


def of_debug_stack(command: Command, action: str) -> list[dict[str, object]]:
    """The events of the debug stack with this action."""
    return [
        event
        for event in command.of_type("stack")
        if (event["phase"], event["action"]) == ("debug-stack", action)
    ]


def apis(project: Project) -> list[tuple[str, str]]:
    found = project.client("apigatewayv2").get_apis()["Items"]
    return sorted((item["Name"], item["ApiId"]) for item in found)


def retention(project: Project) -> int:
    (group,) = project.client("logs").describe_log_groups(
        logGroupNamePrefix="/aws/lambda/terralive-plain-dev-ana"
    )["logGroups"]
    return int(group["retentionInDays"])


def handler(project: Project) -> str:
    """The handler of the deployed function."""
    function = project.client("lambda").get_function(FunctionName="plain-greet")
    return str(function["Configuration"]["Handler"])


def turn_data_tracing_on(project: Project) -> list[tuple[str, str]]:
    """Turn data tracing on for all stages. Return their APIs and names."""
    gateway = project.client("apigatewayv2")
    stages = [
        (api["ApiId"], stage["StageName"])
        for api in gateway.get_apis()["Items"]
        for stage in gateway.get_stages(ApiId=api["ApiId"])["Items"]
    ]
    assert len(stages) == 2
    for api, stage in stages:
        gateway.update_stage(
            ApiId=api, StageName=stage, DefaultRouteSettings={"DataTraceEnabled": True}
        )
    return stages


def test_a_second_checkout_uses_the_debug_stack_and_creates_nothing(first: Project) -> None:
    apply(first, user="ana")
    before = apis(first)
    second = checkout(first, "second")

    with start(second) as command:
        ready = command.wait_for_type("ready")
        answer = second.client("lambda").invoke(FunctionName="plain-greet", Payload=b"{}")
        assert json.loads(answer["Payload"].read()) == "deployed"
        command.wait_for_type("invocation")
        command.interrupt()
        command.finish()

    assert ready["functions"][0]["path"] == str(second.root / "functions" / "greet")
    (unchanged,) = of_debug_stack(command, "unchanged")
    assert str(unchanged["message"]).startswith("deployed by ana on ")
    assert not of_debug_stack(command, "init"), "Terraform was not needed"
    assert not of_debug_stack(command, "create")
    assert apis(first) == before
    assert not list(work(second).glob("debug-stack/*.tfstate"))


def test_another_repository_is_refused_by_name_and_changes_nothing(first: Project) -> None:
    other = checkout(first, "other", source='source = "github.com/acme/billing"\n')
    before = left(first)

    for command in (apply(other, code=5), destroy(other, code=5)):
        (error,) = command.of_type("error")
        assert error["reference"] == "debug-stack-of-another-source"
        for part in ("ana", "github.com/acme/plain", "github.com/acme/billing", "terralive 0."):
            assert part in error["message"], part
        assert "--stage" in error["hint"]
    assert left(first) == before


def test_other_settings_are_applied_to_the_debug_stack_that_is_there(
    first: Project, owner: Project
) -> None:
    before = apis(first)
    assert retention(first) == 7

    command = apply(owner)

    assert not of_debug_stack(command, "create"), command.story()
    assert apis(first) == before
    assert retention(first) == 14


def test_with_data_tracing_another_checkout_is_refused_before_any_function_is_live(
    owner: Project,
) -> None:
    restored = run(["--stage", STAGE, "restore", "--sandbox", "--yes"], owner.root)
    assert restored.process.returncode == 0, restored.story()
    turn_data_tracing_on(owner)
    other = checkout(owner, "untraced")

    refused = apply(other, code=2)

    (error,) = refused.of_type("error")
    assert error["reference"] == "data-trace-on", refused.story()
    assert "`terralive apply` in the checkout" in error["hint"]
    assert handler(owner) == "app.handler"


def test_the_checkout_with_the_state_turns_data_tracing_off(owner: Project) -> None:
    stages = turn_data_tracing_on(owner)

    apply(owner)

    gateway = owner.client("apigatewayv2")
    for api, stage in stages:
        settings = gateway.get_stage(ApiId=api, StageName=stage)["DefaultRouteSettings"]
        assert not settings["DataTraceEnabled"]
    assert handler(owner) != "app.handler", "it is live"


def test_a_destroy_without_the_state_leaves_nothing(first: Project) -> None:
    (work(first) / "debug-stack" / "terraform.tfstate").unlink()

    command = destroy(first)

    assert of_debug_stack(command, "delete"), command.story()
    assert left(first) == {}


@pytest.mark.parametrize("state", ["kept", "lost"])
def test_a_debug_stack_that_was_half_created_is_completed_and_removed(
    first: Project, state: str
) -> None:
    with start(first) as command:
        command.wait_for(
            lambda event: (
                event["type"] == "stack"
                and (event["phase"], event["state"]) == ("debug-stack", "done")
                and event.get("address") == "aws_dynamodb_table.connections"
            ),
            "the table",
        )
        children = descendants(command.process.pid)
        # Terraform, too: what it was creating is in no state.
        command.process.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    eventually(lambda: not running(children), "every child has ended")
    assert left(first), "something was created"
    folder = work(first) / "debug-stack"
    (folder / ".terraform.tfstate.lock.info").unlink(missing_ok=True)
    if state == "lost":
        (folder / "terraform.tfstate").unlink(missing_ok=True)

    apply(first, user="ana")
    assert len(apis(first)) == len({name for name, _ in apis(first)}), "no API was made twice"
    destroy(first)
    assert left(first) == {}

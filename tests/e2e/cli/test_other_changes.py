"""Everything that a plan changes beside the functions' code: listed, asked for, never destroyed.

One app in the sandbox, deployed by terralive, and its configuration then edited. In order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from terralive_testing.drivers.command import Command, Event, run
from terralive_testing.drivers.plain_app import (
    SECOND,
    SECOND_SETTINGS,
    add,
    left,
    plain_project,
    reset,
)
from terralive_testing.drivers.project import Project
from terralive_testing.drivers.terminal import Ended, answered

pytestmark = pytest.mark.timeout(600)

TOPIC = """
resource "aws_sns_topic" "orders" {
  name         = "plain-orders"
  display_name = "Orders"
}
"""
QUEUE = """
resource "aws_sqs_queue" "jobs" {
  name = "plain-jobs"
}
"""
SANDBOX = ["--sandbox", "--yes"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = plain_project(tmp_path_factory.mktemp("others") / "plain")
    add(made, TOPIC)
    with Command(["sandbox"], made.root) as command:
        made.sandbox = command.wait_for_type("ready")["sandbox"]
        yield made


def configure(
    project: Project,
    *resources: str,
    memory: int = 128,
    role: str = "plain-greet",
    description: str = "",
) -> None:
    """Write the app with other resources, another memory size, or another role."""
    reset(project)
    with (project.root / "terralive.toml").open("a", encoding="utf-8") as settings:
        settings.write(SECOND_SETTINGS)
    main = project.root / "main.tf"
    text = main.read_text("utf-8")
    timeout = "timeout          = 10"
    text = text.replace(timeout, f"{timeout}\n  memory_size = {memory}")
    name = '  name = "plain-greet"\n'
    changed = f'  name = "{role}"\n'
    if description:
        changed += f'  description = "{description}"\n'
    main.write_text(text.replace(name, changed), "utf-8")
    for resource in resources:
        add(project, resource)


def refused(command: Command, change: tuple[str, str, list[str]]) -> None:
    """Assert that a command has listed a change and refused to make it."""
    assert command.process.returncode == 1, command.story()
    (error,) = command.of_type("error")
    assert error["reference"] == "would-destroy"
    assert change[1] in error["message"]
    assert change in listed(command)


def listed(ended: Command | Ended) -> list[tuple[str, str, list[str]]]:
    """Return the changes of the command's last list: action, address, attributes."""
    lists: list[Event] = ended.of_type("changes")
    if not lists:
        return []
    return [
        (change["action"], change["address"], change["attributes"])
        for change in lists[-1]["changes"]
    ]


def was_planned_again(ended: Ended) -> bool:
    """Tell whether a command has found its plan stale, once."""
    notes = [event["message"] for event in ended.of_type("stack") if event["action"] == "note"]
    return sum("planning once more" in note for note in notes) == 1


def topics(project: Project) -> list[str]:
    return [
        topic["TopicArn"].rpartition(":")[2]
        for topic in project.client("sns").list_topics()["Topics"]
    ]


def queues(project: Project) -> list[str]:
    urls: list[str] = project.client("sqs").list_queues().get("QueueUrls", [])
    return [url.rpartition("/")[2] for url in urls]


def test_a_first_deployment_lists_what_it_creates(project: Project) -> None:
    command = run(["apply", *SANDBOX], project.root, timeout_s=400)

    assert command.process.returncode == 0, command.story()
    (changes,) = command.of_type("changes")
    assert changes["first"] is True
    assert {change["address"] for change in changes["changes"]} >= {
        "aws_iam_role.greet",
        "aws_lambda_function.greet",
        "aws_sns_topic.orders",
    }
    assert {change["action"] for change in changes["changes"]} == {"create"}


def test_a_second_apply_lists_and_changes_nothing(project: Project) -> None:
    command = run(["apply", *SANDBOX], project.root)

    assert command.process.returncode == 0, command.story()
    assert listed(command) == []
    assert not any(event["action"] == "apply" for event in command.of_type("stack"))


def test_unrelated_pending_changes_are_left_alone(project: Project) -> None:
    configure(project, QUEUE)  # an old branch without the topic, and a queue that is new

    command = run(["apply", *SANDBOX], project.root)

    assert command.process.returncode == 0, command.story()
    assert listed(command) == []
    assert (topics(project), queues(project)) == (["plain-orders"], [])
    (warning,) = [
        event for event in command.of_type("warning") if event["reference"] == "not-deployed"
    ]
    assert "aws_sqs_queue.jobs" in warning["message"]


def test_yes_never_destroys_what_an_old_branch_lacks(project: Project) -> None:
    # A function that is not deployed yet may need anything, so everything is planned.
    configure(project, SECOND)

    command = run(["start", *SANDBOX], project.root)

    refused(command, ("delete", "aws_sns_topic.orders", []))
    assert topics(project) == ["plain-orders"]
    assert "plain-second" not in left(project)["functions"]


@pytest.mark.parametrize("words", ["apply", "destroy"])
def test_yes_never_replaces_what_a_function_depends_on(project: Project, words: str) -> None:
    configure(project, TOPIC, role="plain-greet-2")

    command = run([words, *SANDBOX], project.root)

    refused(command, ("replace", "aws_iam_role.greet", []))
    assert "plain-greet" in left(project)["roles"]
    assert left(project)["apis"], "the debug stack is as it was"


def test_a_pending_moved_block_makes_a_plan_of_everything(project: Project) -> None:
    moved = TOPIC.replace('"orders" {', '"placed" {', 1)
    moved += "moved {\n  from = aws_sns_topic.orders\n  to   = aws_sns_topic.placed\n}\n"
    configure(project, moved.replace('"Orders"', '"All orders"'), role="plain-greet-2")

    command = run(["restore", *SANDBOX], project.root)

    refused(command, ("replace", "aws_iam_role.greet", []))
    assert ("update", "aws_sns_topic.placed", ["display_name"]) in listed(command)


def test_a_person_is_asked_for_the_other_changes_and_a_no_stops_everything(
    project: Project,
) -> None:
    configure(project, QUEUE, SECOND, memory=256)

    ended = answered(["apply", "--sandbox"], ["y", "n"], project.root)

    assert ended.code == 1, ended
    question = "Also make the 4 other changes that the configuration asks for"
    assert question in ended.screen
    assert "(2 to add, 1 to change, 1 to destroy)? [y/N]" in ended.screen
    assert (topics(project), queues(project)) == (["plain-orders"], [])


def test_yes_makes_changes_of_a_function_and_of_what_it_depends_on_and_lists_them(
    project: Project,
) -> None:
    configure(project, memory=256, description="Greets")

    command = run(["apply", *SANDBOX], project.root)

    assert command.process.returncode == 0, command.story()
    assert sorted(listed(command)) == [
        ("update", "aws_iam_role.greet", ["description"]),
        ("update", "aws_lambda_function.greet", ["memory_size"]),
    ]
    assert (topics(project), queues(project)) == (["plain-orders"], [])


def test_functions_that_are_left_out_are_neither_planned_nor_changed(project: Project) -> None:
    configure(project, QUEUE, SECOND, memory=256, description="Greets")

    only = ["--only", "plain-g*"]
    command = run(["plan", "--sandbox", *only], project.root)

    assert command.process.returncode == 0, command.story()
    (plan,) = command.of_type("plan")
    assert [item["address"] for item in plan["functions"]] == ["aws_lambda_function.greet"]
    assert plan["refused"] == {"aws_lambda_function.second": "--only leaves it out"}
    applied = run(["apply", *SANDBOX, *only], project.root)
    assert applied.process.returncode == 0, applied.story()
    assert listed(applied) == []
    assert "plain-second" not in left(project)["functions"]


def test_restore_lists_what_it_changes_beside_the_code(project: Project) -> None:
    configure(project, QUEUE, memory=256, description="Greets people")

    command = run(["restore", *SANDBOX], project.root)

    assert command.process.returncode == 0, command.story()
    assert listed(command) == [("update", "aws_iam_role.greet", ["description"])]
    configuration = project.client("lambda").get_function_configuration(FunctionName="plain-greet")
    assert (configuration["Handler"], configuration["Description"]) == ("app.handler", "")
    assert (topics(project), queues(project)) == (["plain-orders"], [])


def test_a_restore_where_nothing_is_live_leaves_other_changes_alone(project: Project) -> None:
    configure(project, QUEUE, memory=512)

    command = run(["restore", *SANDBOX], project.root)

    assert command.process.returncode == 0, command.story()
    assert "Nothing to restore" in command.of_type("note")[-1]["message"]
    assert not any(event["action"] == "plan" for event in command.of_type("stack"))
    configuration = project.client("lambda").get_function_configuration(FunctionName="plain-greet")
    assert (configuration["MemorySize"], topics(project)) == (256, ["plain-orders"])


def test_a_person_who_agrees_gets_what_the_configuration_says_also_where_the_state_has_changed(
    project: Project,
) -> None:
    configure(project, TOPIC, memory=256, description="Greets people")

    def change_state() -> None:
        """Write the state again, as another run of Terraform does."""
        (file,) = (project.root / ".terralive" / "sandbox").glob("*/*/app.tfstate")
        state = json.loads(file.read_text("utf-8"))
        state["serial"] += 1
        file.write_text(json.dumps(state), "utf-8")

    live = answered(["apply", "--sandbox"], ["y"], project.root, on_question=change_state)
    assert live.code == 0, live
    assert was_planned_again(live)
    configure(project, TOPIC, memory=256, description="Greets people", role="plain-greet-2")

    # Without the option, what was deployed before comes back, and the role stays.
    words = ["restore", "--sandbox", "--deploy-local"]
    ended = answered(words, ["y", "y"], project.root, on_question=change_state)

    assert ended.code == 0, ended
    assert was_planned_again(ended)
    assert ("replace", "aws_iam_role.greet", []) in listed(ended)
    assert "plain-greet-2" in left(project)["roles"]


def test_destroy_keeps_the_app_that_terralive_has_deployed(project: Project) -> None:
    command = run(["destroy", *SANDBOX], project.root)

    assert command.process.returncode == 0, command.story()
    assert "The app itself stays." in command.of_type("note")[-1]["message"]
    remains = left(project)
    assert remains["functions"] == ["plain-greet"]
    assert "apis" not in remains
    assert "tables" not in remains


def test_destroy_with_app_lists_everything_and_removes_it(project: Project) -> None:
    command = run(["destroy", "--app", *SANDBOX], project.root)

    assert command.process.returncode == 0, command.story()
    (changes,) = command.of_type("changes")
    assert changes["destroys_app"] is True
    assert [(change["action"], change["address"]) for change in changes["changes"]] == [
        ("delete", "aws_iam_role.greet"),
        ("delete", "aws_lambda_function.greet"),
        ("delete", "aws_sns_topic.orders"),
    ]
    assert left(project) == {}

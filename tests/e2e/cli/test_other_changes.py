"""Everything that a plan changes beside the functions' code: listed, asked for, never destroyed.

One app in the sandbox, deployed by terralive, and its configuration then edited. In order.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from terralive_testing.drivers.command import Command, Event, run
from terralive_testing.drivers.plain_app import add, left, plain_project, reset
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


def configure(project: Project, *resources: str, memory: int = 128) -> None:
    reset(project)
    main = project.root / "main.tf"
    text = main.read_text("utf-8")
    timeout = "timeout          = 10"
    main.write_text(text.replace(timeout, f"{timeout}\n  memory_size = {memory}"), "utf-8")
    for resource in resources:
        add(project, resource)


def listed(ended: Command | Ended) -> list[tuple[str, str, list[str]]]:
    """Return the changes of the command's last list: action, address, attributes."""
    lists: list[Event] = ended.of_type("changes")
    if not lists:
        return []
    return [
        (change["action"], change["address"], change["attributes"])
        for change in lists[-1]["changes"]
    ]


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


@pytest.mark.parametrize("words", ["start", "apply", "restore", "destroy"])
def test_yes_never_destroys_what_an_old_branch_lacks(project: Project, words: str) -> None:
    configure(project)

    command = run([words, *SANDBOX], project.root)

    assert command.process.returncode == 1, command.story()
    (error,) = command.of_type("error")
    assert error["reference"] == "would-destroy"
    assert "aws_sns_topic.orders" in error["message"]
    assert ("delete", "aws_sns_topic.orders", []) in listed(command)
    assert topics(project) == ["plain-orders"]
    assert left(project)["apis"], "the debug stack is as it was"


def test_a_replacement_is_not_covered_by_yes_either(project: Project) -> None:
    configure(project, TOPIC.replace("plain-orders", "plain-orders-2"))

    command = run(["apply", *SANDBOX], project.root)

    assert command.of_type("error")[0]["reference"] == "would-destroy", command.story()
    assert ("replace", "aws_sns_topic.orders", []) in listed(command)
    assert topics(project) == ["plain-orders"]


def test_plan_lists_what_apply_would_refuse(project: Project) -> None:
    configure(project, QUEUE, memory=256)

    command = run(["plan", "--sandbox"], project.root)

    assert command.process.returncode == 0, command.story()
    assert sorted(listed(command)) == [
        ("create", "aws_sqs_queue.jobs", []),
        ("delete", "aws_sns_topic.orders", []),
        ("update", "aws_lambda_function.greet", ["memory_size"]),
    ]
    assert (topics(project), queues(project)) == (["plain-orders"], [])


def test_a_person_is_asked_for_the_other_changes_and_a_no_stops_everything(
    project: Project,
) -> None:
    configure(project, QUEUE, memory=256)

    ended = answered(["apply", "--sandbox"], ["y", "n"], project.root)

    assert ended.code == 1, ended
    question = "Also make the 3 other changes that the configuration asks for"
    assert question in ended.screen
    assert "(1 to add, 1 to change, 1 to destroy)? [y/N]" in ended.screen
    assert (topics(project), queues(project)) == (["plain-orders"], [])


def test_yes_makes_changes_that_destroy_nothing_and_lists_them(project: Project) -> None:
    configure(project, TOPIC, QUEUE, memory=256)

    command = run(["apply", *SANDBOX], project.root)

    assert command.process.returncode == 0, command.story()
    assert sorted(listed(command)) == [
        ("create", "aws_sqs_queue.jobs", []),
        ("update", "aws_lambda_function.greet", ["memory_size"]),
    ]
    assert queues(project) == ["plain-jobs"]


def test_restore_lists_what_it_changes_beside_the_code(project: Project) -> None:
    configure(project, TOPIC.replace('"Orders"', '"All orders"'), QUEUE, memory=256)

    command = run(["restore", *SANDBOX], project.root)

    assert command.process.returncode == 0, command.story()
    assert listed(command) == [("update", "aws_sns_topic.orders", ["display_name"])]
    configuration = project.client("lambda").get_function_configuration(FunctionName="plain-greet")
    assert (configuration["Handler"], configuration["Description"]) == ("app.handler", "")


def test_a_restore_where_nothing_is_live_leaves_other_changes_alone(project: Project) -> None:
    configure(project, QUEUE, memory=512)

    command = run(["restore", *SANDBOX], project.root)

    assert command.process.returncode == 0, command.story()
    assert "Nothing to restore" in command.of_type("note")[-1]["message"]
    assert not any(event["action"] == "plan" for event in command.of_type("stack"))
    configuration = project.client("lambda").get_function_configuration(FunctionName="plain-greet")
    assert (configuration["MemorySize"], topics(project)) == (256, ["plain-orders"])


def test_a_person_who_agrees_gets_what_the_configuration_says(project: Project) -> None:
    configure(project, TOPIC.replace('"Orders"', '"All orders"'), QUEUE, memory=256)
    live = run(["apply", *SANDBOX], project.root)
    assert live.process.returncode == 0, live.story()
    configure(project, QUEUE, memory=256)

    ended = answered(["restore", "--sandbox"], ["y", "y"], project.root)

    assert ended.code == 0, ended
    assert listed(ended) == [("delete", "aws_sns_topic.orders", [])]
    assert topics(project) == []


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
        ("delete", "aws_sqs_queue.jobs"),
    ]
    assert left(project) == {}

"""Two developers, each with a stage of their own, over one deployed copy of the app.

Their checkouts share the app's state, and each has a debug stack. In order.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from terralive_stub.broker.aws import DynamoDBTable
from terralive_terraform.substitution.marker import StageName, stage_of
from terralive_testing.deployers.sandbox import running_sandbox
from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.plain_app import add, left, plain_project
from terralive_testing.drivers.project import Project
from terralive_testing.machine.aws_names import sandbox_environment

pytestmark = pytest.mark.timeout(600)

ANA = StageName("plain", "dev-ana")
BEN = StageName("plain", "dev-ben")


@dataclass
class Developer:
    """A developer with a checkout."""

    name: str
    project: Project
    environment: Mapping[str, str]

    def run(self, *words: str) -> Command:
        environment = {**self.environment, "TERRALIVE_USER": self.name}
        return run([*words, "--yes"], self.project.root, environment, 400)

    def replaced(self) -> tuple[str, bool]:
        """Return the version that this stage's stub has replaced, and whether it may invoke it."""
        function = self.project.client("lambda").get_function(FunctionName="plain-greet")
        table = f"terralive-plain-dev-{self.name}-connections"
        records = DynamoDBTable(self.project.client("dynamodb"), table)
        record = records.get_replaced(function["Configuration"]["FunctionArn"])
        assert record is not None
        return record.version, record.can_answer

    def holder(self) -> StageName | None:
        """Return the stage that the deployed function is live for."""
        client = self.project.client("lambda")
        configuration = client.get_function_configuration(FunctionName="plain-greet")
        return stage_of(configuration["Description"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("held")


@pytest.fixture(scope="module")
def ana(folder: Path) -> Iterator[Developer]:
    project = plain_project(folder / "ana" / "app")
    state = folder / "shared" / "terraform.tfstate"
    settings = project.root / "terralive.toml"
    settings.write_text(f"fallback = true\n{settings.read_text('utf-8')}", "utf-8")
    add(project, f'\nterraform {{\n  backend "local" {{\n    path = "{state}"\n  }}\n}}\n')
    with running_sandbox(folder / "sandbox") as info:
        project.sandbox = {
            "endpoint": info.endpoint,
            "region": info.region,
            "access_key_id": info.access_key_id,
            "secret_access_key": info.secret_access_key,
        }
        yield Developer("ana", project, {**sandbox_environment(info), "HOME": str(folder)})


@pytest.fixture(scope="module")
def ben(ana: Developer, folder: Path) -> Developer:
    root = folder / "ben" / "app"
    shutil.copytree(ana.project.root, root, ignore=shutil.ignore_patterns(".terra*"))
    return Developer("ben", Project(root, ana.project.sandbox), ana.environment)


def held(command: Command) -> str:
    """Require that another stage holds the functions. Return the error's words."""
    assert command.process.returncode == 5, command.story()
    (error,) = command.of_type("error")
    assert error["reference"] == "stage-held-elsewhere", command.story()
    return f"{error['message']}\n{error['hint']}"


def test_the_first_developer_makes_the_app_live(ana: Developer) -> None:
    command = ana.run("apply")

    assert command.process.returncode == 0, command.story()
    assert ana.holder() == ANA
    (plan,) = command.of_type("plan")
    (function,) = plan["functions"]
    assert function["fallback"]["own_code_first"] == "fallback = true"
    assert ana.replaced() == ("1", True), "the code that Terraform has deployed before the stub"


@pytest.mark.parametrize("words", [("start",), ("apply",), ("restore",), ("destroy", "--app")])
def test_the_second_one_is_told_who_holds_it_before_anything_is_created(
    ana: Developer, ben: Developer, words: tuple[str, ...]
) -> None:
    before = left(ana.project)

    command = ben.run(*words)

    said = held(command)
    assert "live for stage plain/dev-ana: greet. ana deployed it on 2" in said
    assert "--takeover" in said
    assert left(ana.project) == before
    assert not any(event["action"] == "plan" for event in command.of_type("stack"))
    assert ana.holder() == ANA


def test_plan_shows_it_as_a_warning(ben: Developer) -> None:
    command = ben.run("plan")

    assert command.process.returncode == 0, command.story()
    warnings = {event["reference"]: event["message"] for event in command.of_type("warning")}
    assert "live for stage plain/dev-ana" in warnings["stage-held-elsewhere"]


def test_destroy_of_a_stage_that_holds_nothing_leaves_the_functions_alone(
    ana: Developer, ben: Developer
) -> None:
    command = ben.run("destroy")

    assert command.process.returncode == 0, command.story()
    assert any("They stay as they are." in event["message"] for event in command.of_type("note"))
    assert ana.holder() == ANA
    assert left(ana.project)["tables"] == ["terralive-plain-dev-ana-connections"]


def test_takeover_takes_the_functions_and_says_so(ana: Developer, ben: Developer) -> None:
    command = ben.run("apply", "--takeover")

    assert command.process.returncode == 0, command.story()
    assert ben.holder() == BEN
    notes = [event["message"] for event in command.of_type("note")]
    assert "Taking over from stage plain/dev-ana: greet." in notes
    assert ben.replaced() == ana.replaced(), "what the former stub has replaced"
    assert "plain/dev-ben" in held(ana.run("restore"))


def test_a_state_that_is_older_than_the_deployment_does_not_hide_it(
    ana: Developer, ben: Developer, folder: Path
) -> None:
    """The plan looks at AWS: the description there counts, too."""
    state = folder / "shared" / "terraform.tfstate"
    now = state.read_text("utf-8")
    state.write_text(now.replace(str(BEN), str(ANA)), "utf-8")
    try:
        assert "plain/dev-ben" in held(ana.run("apply"))
    finally:
        state.write_text(now, "utf-8")
    assert ben.holder() == BEN


def test_when_the_second_one_has_restored_it_is_free(ben: Developer) -> None:
    restored = ben.run("restore")
    assert restored.process.returncode == 0, restored.story()
    assert ben.holder() is None


def test_invoke_finds_a_function_that_no_session_knows_and_its_own_code_answers(
    ben: Developer,
) -> None:
    command = ben.run("invoke", "greet")

    assert command.process.returncode == 0, command.story()
    (answer,) = command.of_type("answer")
    assert (answer["function"], answer["runner"]) == ("plain-greet", "deployed")
    assert answer["version"] == "$LATEST"


def test_both_destroy_what_they_have_made(ana: Developer, ben: Developer) -> None:
    for developer, words in ((ben, ("destroy",)), (ana, ("destroy", "--app"))):
        command = developer.run(*words)
        assert command.process.returncode == 0, command.story()
    assert left(ana.project) == {}

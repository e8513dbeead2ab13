"""Two developers, each with a stage of their own, over one deployed copy of the app.

Their checkouts share the app's state, and each has a debug stack. All states are in a bucket. In
the end, jobs without their checkouts clean up. In order.
"""

from __future__ import annotations

import shutil
import subprocess
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
STATES = "acme-terraform-states"
APP_STATE = "plain/app.tfstate"
BACKEND = f"""
terraform {{
  backend "s3" {{
    bucket         = "{STATES}"
    key            = "{APP_STATE}"
    use_lockfile   = true
    use_path_style = true # the sandbox has no name for each bucket
  }}
}}
"""
SETTINGS = f"""
[backend]
type = "s3"

[backend.config]
bucket = "{STATES}"
key = "terralive/{{app}}/{{stage}}.tfstate"
use_lockfile = true
use_path_style = true
"""


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

    def resources(self) -> dict[str, list[str]]:
        """Return everything in the account but the bucket of the states."""
        found = left(self.project)
        assert STATES in found["buckets"]
        found["buckets"].remove(STATES)
        return {kind: names for kind, names in found.items() if names}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("held")


@pytest.fixture(scope="module")
def ana(folder: Path) -> Iterator[Developer]:
    project = plain_project(folder / "ana" / "app")
    settings = project.root / "terralive.toml"
    head = 'source = "github.com/acme/plain"\nfallback = true\n'
    settings.write_text(f"{head}{settings.read_text('utf-8')}{SETTINGS}", "utf-8")
    add(project, BACKEND)
    # As a repository has it: what a build makes is not in it.
    (project.root / ".gitignore").write_text("*.zip\n.terra*\n", "utf-8")
    with running_sandbox(folder / "sandbox") as info:
        project.sandbox = {
            "endpoint": info.endpoint,
            "region": info.region,
            "access_key_id": info.access_key_id,
            "secret_access_key": info.secret_access_key,
        }
        project.client("s3").create_bucket(Bucket=STATES)
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
    ana: Developer, ben: Developer
) -> None:
    """The plan looks at AWS: the description there counts, too."""
    s3 = ana.project.client("s3")
    now = s3.get_object(Bucket=STATES, Key=APP_STATE)["Body"].read()
    older = now.replace(str(BEN).encode(), str(ANA).encode())
    assert older != now
    s3.put_object(Bucket=STATES, Key=APP_STATE, Body=older)
    try:
        assert "plain/dev-ben" in held(ana.run("apply"))
    finally:
        s3.put_object(Bucket=STATES, Key=APP_STATE, Body=now)
    assert ben.holder() == BEN


def test_everybody_sees_all_stages_and_what_is_live(ben: Developer, folder: Path) -> None:
    nowhere = in_no_checkout(ben, folder)
    command = nowhere.run("list")
    assert not list(nowhere.project.root.iterdir())
    (event,) = command.of_type("stacks")
    listed = event["stacks"]

    assert [(item["stage"], item["live"]) for item in listed] == [
        ("dev-ana", []),
        ("dev-ben", ["plain-greet"]),
    ]
    assert {item["connection"] for item in listed} == {"never"}
    assert {item["source"] for item in listed} == {"github.com/acme/plain"}

    (status,) = ben.run("status").of_type("status")
    (function,) = status["functions"]
    assert (function["state"], function["fallback_version"]) == ("live", "1")
    assert (status["deployed"], status["owner"]) == (True, "ben")


def test_when_a_job_has_cleaned_up_on_a_fresh_clone_it_is_free(
    ben: Developer, folder: Path
) -> None:
    """The job has the repository and credentials: no build, no state, no memory of a start."""
    job = Developer("ci", Project(fresh_clone(ben, folder), ben.project.sandbox), ben.environment)

    command = job.run("destroy", "--stage", "dev-ben")

    assert command.process.returncode == 0, command.story()
    assert ben.holder() is None
    code = ben.project.client("lambda").get_function(FunctionName="plain-greet")["Configuration"]
    assert code["Handler"] == "app.handler"
    resources = ben.resources()
    assert resources["tables"] == ["terralive-plain-dev-ana-connections"]
    assert "versions" not in resources

    again = job.run("destroy", "--stage", "dev-ben")
    assert again.process.returncode == 0, again.story()
    (note,) = [event["message"] for event in again.of_type("note")]
    assert note.startswith("Nothing to remove")
    assert ben.resources() == resources


def test_invoke_finds_a_function_that_no_session_knows_and_its_own_code_answers(
    ben: Developer,
) -> None:
    command = ben.run("invoke", "greet")

    assert command.process.returncode == 0, command.story()
    (answer,) = command.of_type("answer")
    assert (answer["function"], answer["runner"]) == ("plain-greet", "deployed")
    assert answer["version"] == "$LATEST"


def test_gc_removes_what_nobody_uses_without_a_checkout(ana: Developer, folder: Path) -> None:
    job = in_no_checkout(ana, folder)
    before = ana.resources()
    young = job.run("gc", "--older-than", "3d")
    assert young.process.returncode == 0, young.story()
    assert ana.resources() == before

    command = job.run("gc", "--older-than", "0m", "--match", "plain/dev-*")

    assert command.process.returncode == 0, command.story()
    (result,) = command.of_type("cleanup-result")
    assert (result["stage"], result["removed"]) == ("dev-ana", True), command.story()
    assert "tables" not in ana.resources()


def test_a_job_removes_the_app_without_a_build_and_nothing_is_left(
    ana: Developer, folder: Path
) -> None:
    clone = Project(folder / "clone" / "app", ana.project.sandbox)
    command = Developer("ci", clone, ana.environment).run("destroy", "--stage", "dev-ana", "--app")

    assert command.process.returncode == 0, command.story()
    assert ana.resources() == {}


def in_no_checkout(developer: Developer, folder: Path) -> Developer:
    """Return a job in an empty folder, with the developer's credentials."""
    root = folder / "no-checkout"
    root.mkdir(exist_ok=True)
    return Developer("ci", Project(root, developer.project.sandbox), developer.environment)


def fresh_clone(developer: Developer, folder: Path) -> Path:
    """Commit a checkout and clone it."""
    root = folder / "clone" / "app"
    person = ["-c", "user.name=ci", "-c", "user.email=ci@example.com"]
    for words in (["init", "-q"], ["add", "."], [*person, "commit", "-qm", "app"]):
        subprocess.run(["git", *words], cwd=developer.project.root, check=True)
    subprocess.run(["git", "clone", "-q", developer.project.root, root], check=True)
    assert not list(root.rglob("*.zip"))
    return root

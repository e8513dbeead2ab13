"""`terralive start` is killed, interrupted and hung up at every point, and leaves nothing.

No process runs on, and `destroy` removes everything.

One sandbox in the foreground of another terminal, one small plain Terraform app.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from terralive_terraform.runs.environment import terraform_environment
from terralive_testing.drivers.command import Command, Event, clean_environment, run
from terralive_testing.drivers.plain_app import files, left, plain_project, start
from terralive_testing.drivers.project import Project
from terralive_testing.machine.processes import descendants, running
from terralive_testing.machine.waiting import eventually

pytestmark = pytest.mark.timeout(300)

LOCK = "# the team's own versions\n"
ROLE_IMPORT = 'import {\n  to = aws_iam_role.greet\n  id = "plain-greet"\n}\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = plain_project(tmp_path_factory.mktemp("kill") / "plain")
    (made.root / ".terraform.lock.hcl").write_text(LOCK, "utf-8")
    return made


@pytest.fixture(scope="module", autouse=True)
def sandbox(project: Project) -> Iterator[Command]:
    with Command(["sandbox"], project.root) as command:
        project.sandbox = command.wait_for_type("ready")["sandbox"]
        yield command


def stack(phase: str, action: str, state: str) -> Callable[[Event], bool]:
    def matches(event: Event) -> bool:
        return (
            event["type"] == "stack"
            and (event["phase"], event["action"]) == (phase, action)
            and (event.get("state", "done") == state)
        )

    return matches


def kill(command: Command) -> None:
    """`kill -9`, and nothing of what it had started runs on."""
    children = descendants(command.process.pid)
    command.process.kill()
    command.finish()
    # Terraform may take its time to end an apply in good order.
    eventually(lambda: not running(children), "every child has ended", seconds=90)


def destroy(project: Project) -> None:
    command = run(["destroy", "--app", "--sandbox", "--yes"], project.root)
    assert command.process.returncode == 0, command.story()
    assert left(project) == {}
    assert not list((project.root / ".terralive").rglob("*.tfplan"))


def forget(project: Project, kind: str) -> None:
    """Remove all resources of a type from the app's state."""
    for file in (project.root / ".terralive" / "sandbox").glob("*/*/app.tfstate"):
        state = json.loads(file.read_text("utf-8"))
        state["resources"] = [item for item in state["resources"] if item["type"] != kind]
        file.write_text(json.dumps(state), "utf-8")


def greeting(project: Project) -> object:
    answer = project.client("lambda").invoke(FunctionName="plain-greet", Payload=b"{}")
    return json.loads(answer["Payload"].read())


def clean(project: Project) -> bool:
    """Nothing of terralive's stands beside the team's files, which are as they were."""
    names = {name.split("/")[0] for name in files(project)}
    lock = (project.root / ".terraform.lock.hcl").read_text("utf-8")
    return (
        names == {"main.tf", "terralive.toml", "greet.zip", "functions", ".terraform.lock.hcl"}
        and lock == LOCK
    )


def test_ctrl_c_while_app_and_debug_stack_are_planned_stops_both_and_changes_nothing(
    project: Project,
) -> None:
    with start(project) as command:
        command.wait_for(stack("app", "evaluate", "started"), "the evaluation of the app")
        children = descendants(command.process.pid)
        command.interrupt()
        assert command.finish() == 130, command.story()
    assert not any("Traceback" in line for line in command.noise), command.story()
    assert not command.of_type("error"), command.story()
    # terralive has waited for both.
    assert not running(children), command.story()
    assert not list((project.root / ".terralive").rglob("*.tfstate.lock.info"))
    assert not list((project.root / ".terralive").rglob("*.tfplan"))
    assert left(project) == {}
    assert clean(project)


def test_killed_while_the_debug_stack_is_deployed(project: Project) -> None:
    """Terraform itself ends what it was doing, and a destroy in a hurry waits for that."""
    with start(project) as command:
        command.wait_for(stack("debug-stack", "apply", "started"), "apply of the debug stack")
        children = descendants(command.process.pid)
        command.process.kill()
    (plans,) = (project.root / ".terralive").rglob("plans")
    (plans / "app.tfplan").touch()  # what another moment would have left

    destroy(project)
    eventually(lambda: not running(children), "every child has ended")
    assert clean(project)


def test_killed_between_the_two_applies(project: Project) -> None:
    with start(project) as command:
        command.wait_for(stack("debug-stack", "complete", "done"), "end of the debug stack's apply")
        command.wait_for(stack("app", "plan", "started"), "plan of the app")
        kill(command)
    eventually(lambda: clean(project), "nothing of terralive's is beside the team's files")


def test_ctrl_c_while_the_app_is_deployed_says_what_stays_and_how_to_go_on(
    project: Project,
) -> None:
    with start(project) as command:
        # Not while a create request is in flight: Terraform cancels it, and AWS may have made what
        # the state lacks.
        command.wait_for(stack("app", "apply", "started"), "apply of the app")
        # While Terraform applies, git sees no file of terralive's.
        assert clean(project)
        children = descendants(command.process.pid)
        command.interrupt()
        assert command.finish() == 130, command.story()

    said = command.of_type("stopped")
    assert len(said) == 1, command.story()
    assert "terralive start --stage dev-ana --sandbox" in said[0]["message"]
    assert "terralive destroy --stage dev-ana --sandbox" in said[0]["message"]
    assert not any("Traceback" in line for line in command.noise), command.story()
    eventually(lambda: not running(children), "every child has ended")
    assert clean(project)


def test_what_the_interrupted_apply_has_created_and_not_recorded_is_named(
    project: Project,
) -> None:
    """AWS has created the role, and Terraform has cancelled the request before its answer."""
    iam = project.client("iam")
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        iam.create_role(RoleName="plain-greet", AssumeRolePolicyDocument=trust)
    forget(project, "aws_iam_role")
    before = left(project)

    for words in (["plan"], ["destroy", "--yes"]):
        command = run([*words, "--sandbox"], project.root)
        (error,) = command.of_type("error")
        assert error["reference"] == "resources-exist", command.story()
        assert ROLE_IMPORT in error["message"]
        assert left(project) == before


def test_it_goes_on_from_there_and_a_kill_when_live_leaves_no_worker(project: Project) -> None:
    blocks = project.root / "imports.tf"
    blocks.write_text(ROLE_IMPORT, "utf-8")
    with start(project) as command:
        ready = command.wait_for_type("ready")
        blocks.unlink()
        assert ready["functions"][0]["name"] == "plain-greet"
        assert greeting(project) == "deployed"
        command.wait_for_type("invocation")
        kill(command)
    assert clean(project)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_kill_and_a_closed_terminal_end_it_as_ctrl_c_does(
    project: Project, number: signal.Signals
) -> None:
    with start(project) as command:
        command.wait_for_type("ready")
        children = descendants(command.process.pid)
        command.process.send_signal(number)
        assert command.finish() == 130, command.story()
    assert "terralive restore" in command.of_type("stopped")[0]["message"]
    eventually(lambda: not running(children), "every child has ended")


def test_ctrl_c_twice_ends_it_at_once_and_without_a_traceback(project: Project) -> None:
    with start(project) as command:
        command.wait_for_type("ready")
        children = descendants(command.process.pid)
        command.interrupt()
        command.interrupt()
        assert command.finish() == 130, command.story()
    assert not any("Traceback" in line or "Exception" in line for line in command.noise), (
        command.story()
    )
    eventually(lambda: not running(children), "every child has ended")


def test_the_teams_own_plan_never_sees_terralive(project: Project) -> None:
    """Also while the functions are live: what is deployed has its own state in the sandbox."""
    with start(project) as command:
        command.wait_for_type("ready")
        assert clean(project)
        access = project.sandbox
        copy = project.root.parent / "checkout"
        shutil.copytree(
            project.root, copy, ignore=shutil.ignore_patterns(".terralive", ".terraform.lock.hcl")
        )
        environment = terraform_environment(clean_environment(), copy.parent) | {
            "AWS_ENDPOINT_URL": access["endpoint"],
            "AWS_REGION": access["region"],
            "AWS_ACCESS_KEY_ID": access["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": access["secret_access_key"],
        }
        for arguments in (["init"], ["plan", "-no-color"]):
            planned = subprocess.run(
                ["terraform", *arguments],
                cwd=copy,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert planned.returncode == 0, planned.stdout + planned.stderr
        assert "Plan: 2 to add" in planned.stdout
        assert "terralive" not in planned.stdout


def test_a_restore_is_killed_while_it_is_applied(project: Project) -> None:
    with Command(["restore", "--sandbox", "--yes"], project.root) as command:
        command.wait_for(stack("restore", "apply", "started"), "apply of the restore")
        kill(command)
    assert clean(project)


def test_restore_after_all_that_brings_the_deployed_code_back(project: Project) -> None:
    command = run(["restore", "--sandbox", "--yes"], project.root)

    assert command.process.returncode == 0, command.story()
    assert greeting(project) == "deployed"
    assert (
        project.client("lambda").get_function_configuration(FunctionName="plain-greet")["Handler"]
        == "app.handler"
    )


def test_killed_while_the_app_is_made_live_and_then_while_the_debug_stack_is_destroyed(
    project: Project,
) -> None:
    with start(project) as command:
        command.wait_for(stack("app", "apply", "started"), "apply of the app")
        children = descendants(command.process.pid)
        command.process.kill()
    with Command(["destroy", "--app", "--sandbox", "--yes"], project.root) as command:
        command.wait_for(stack("debug-stack", "apply", "started"), "removal of the debug stack")
        kill(command)

    destroy(project)
    eventually(lambda: not running(children), "every child has ended")
    assert clean(project)


def test_a_start_with_a_sandbox_of_its_own_killed_takes_the_sandbox_with_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    own = plain_project(tmp_path_factory.mktemp("own") / "plain")
    before = files(own)
    with start(own) as command:
        command.wait_for(stack("debug-stack", "init", "started"), "the debug stack's init")
        kill(command)

    refused = run(["destroy", "--app", "--sandbox", "--yes"], own.root)

    assert refused.process.returncode == 2
    assert refused.of_type("error")[0]["reference"] == "no-sandbox"
    assert files(own) == before
    assert os.listdir(own.root / ".terralive" / "sandbox")  # noqa: PTH208  # goes with the next sandbox

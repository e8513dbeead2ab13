"""A team's repository with what `terralive init` writes: its targets and its jobs are run.

The sandbox is AWS here, under AWS's host names. The state of the app and that of the debug stack
are in S3, so a fresh clone has nothing but the repository and credentials. The tests run in order.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.identities import Identity, Statement
from terralive_testing.deployers.sandbox import running_sandbox
from terralive_testing.drivers.command import clean_environment, run
from terralive_testing.drivers.plain_app import left, plain_project
from terralive_testing.drivers.project import Project
from terralive_testing.machine.aws_names import aws_environment, sandbox_environment

pytestmark = pytest.mark.timeout(400)

# moto's account: https://docs.getmoto.org/en/latest/docs/multi_account.html
ACCOUNT = "123456789012"
BUCKET = "acme-states"
REMOTE = "https://github.com/acme/plain.git"
STATE = f"""
terraform {{
  backend "s3" {{
    bucket       = "{BUCKET}"
    key          = "app/plain.tfstate"
    region       = "us-east-1"
    use_lockfile = true
  }}
}}
"""
# What Terraform needs for the app itself, and its state.
APP: Sequence[Statement] = (
    {"Effect": "Allow", "Action": "lambda:*", "Resource": "arn:aws:lambda:*:*:function:plain-*"},
    {"Effect": "Allow", "Action": "iam:*", "Resource": "arn:aws:iam::*:role/plain-*"},
    {"Effect": "Allow", "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}"},
    {"Effect": "Allow", "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}/app/*"},
)
# What CI has on its own: GitHub's expressions, and GitLab's variables.
EXPRESSIONS = {"vars.TERRALIVE_ACCOUNT": ACCOUNT, "github.event.pull_request.number": "412"}
_EXPRESSION: Final = re.compile(r"\$\{\{ *(.*?) *\}\}")
_VARIABLE: Final = re.compile(r"\$\{?(\w+)\}?")
_CONDITION: Final = re.compile(r"github\.event_name (==|!=) '(\w+)'")
# Programs that only install something. They note that they were called.
INSTALLERS = ("python", "curl", "chmod", "dpkg")


@dataclass
class Team:
    """A team's checkout, and the machine of a developer or a CI runner.

    Attributes:
        project: the checkout.
        environment: credentials, and programs on PATH.
        calls: the calls of installers.
    """

    project: Project
    environment: Mapping[str, str]
    calls: Path
    clones: int = field(default=0)

    @property
    def root(self) -> Path:
        return self.project.root

    def clone(self) -> Path:
        """Clone what is committed, as a CI job does."""
        self.clones += 1
        folder = self.root.parent / f"clone-{self.clones}"
        self.shell(f"git clone --quiet {self.root} {folder}", self.root)
        # The remote of a clone in CI is that of the developers.
        self.shell(f"git remote set-url origin {REMOTE}", folder)
        return folder

    def shell(
        self, command: str, folder: Path, environment: Mapping[str, str] | None = None
    ) -> str:
        """Run a command in a shell that ends at the first error. Return what it wrote."""
        ended = subprocess.run(
            ["bash", "-e", "-c", command],
            cwd=folder,
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}"
        return ended.stdout


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxInfo]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as info:
        yield info


@pytest.fixture(scope="module")
def team(info: SandboxInfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A repository in which `terralive init` was run and its files were committed."""
    folder = tmp_path_factory.mktemp("team")
    project = plain_project(folder / "plain")
    project.sandbox = {
        "endpoint": info.endpoint,
        "region": info.region,
        "access_key_id": info.access_key_id,
        "secret_access_key": info.secret_access_key,
    }
    project.client("s3").create_bucket(Bucket=BUCKET)
    (project.root / "state.tf").write_text(STATE, "utf-8")
    (project.root / "terralive.toml").unlink()
    (project.root / "Makefile").write_text("test:\n\t@echo tested", "utf-8")
    (project.root / ".gitlab-ci.yml").write_text("stages: [check]\n", "utf-8")
    tools = folder / "tools"
    tools.mkdir()
    calls = tools / "calls"
    program(tools / "terralive", f'exec "{sys.executable}" -m terralive_cli "$@"')
    for name in INSTALLERS:
        program(tools / name, f'echo "{name} $*" >> "{calls}"')
    with aws_environment(info) as aws:
        environment = {**clean_environment(aws), "HOME": str(folder)}
        environment["PATH"] = f"{tools}{os.pathsep}{environment['PATH']}"
        # Where make runs the tests, the team's make would report the folders that it enters.
        for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
            environment.pop(name, None)
        team = Team(project, environment, calls)
        team.shell(f"git init --quiet -b main && git remote add origin {REMOTE}", team.root)
        for ci in ("github", "gitlab"):
            team.shell(f"terralive init --yes --ci {ci}", team.root)
        team.shell(
            "git add . && git -c user.name=ana -c user.email=ana@acme.com commit --quiet -m all",
            team.root,
        )
        yield team


def program(file: Path, command: str) -> None:
    file.write_text(f"#!/bin/sh\n{command}\n", "utf-8")
    file.chmod(0o755)


def as_the_job(team: Team) -> dict[str, str]:
    """Return the credentials of somebody with the policy beside the job's role, and the app's."""
    file = team.root / ".github" / "terralive-cleanup" / "plain.policy.json"
    statements = json.loads(file.read_text("utf-8"))["Statement"]
    job = Identity.create(team.project, [*statements, *APP])
    return {
        "AWS_ACCESS_KEY_ID": job.access_key_id,
        "AWS_SECRET_ACCESS_KEY": job.secret_access_key,
    }


def run_github(team: Team, checkout: Path, event: str, credentials: Mapping[str, str]) -> str:
    """Run the commands of the workflow's job, step by step. Return what they wrote."""
    file = checkout / ".github" / "workflows" / "terralive-cleanup.yml"
    (job,) = yaml.safe_load(file.read_text("utf-8"))["jobs"].values()
    output = ""
    for step in job["steps"]:
        if "run" in step and holds(step.get("if", ""), event):
            environment = {**job["env"], **step.get("env", {})}
            values = {name: filled(text) for name, text in environment.items()} | dict(credentials)
            output += team.shell(filled(step["run"]), checkout, values)
    return output


def run_gitlab(team: Team, name: str, folder: Path) -> str:
    """Run the scripts of a job in one shell, as GitLab's runner does. Return what they wrote."""
    file = team.root / "terralive-cleanup.gitlab-ci.yml"
    jobs: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    job = {**jobs[jobs[name]["extends"]], **jobs[name]}
    own = {
        "CI_REPOSITORY_URL": str(team.root),
        "CI_DEFAULT_BRANCH": "main",
        "CI_MERGE_REQUEST_IID": "412",
        "AWS_TOKEN": "a token",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "token"),
        "TERRALIVE_ACCOUNT": ACCOUNT,
        # A clone of a folder has that folder as its remote.
        "TERRALIVE_SOURCE": "github.com/acme/plain",
    }
    variables = {
        key: _VARIABLE.sub(lambda found: own.get(found[1], ""), str(text))
        for key, text in {**job["variables"], **own}.items()
    }
    script = "\n".join([*job["before_script"], *job["script"]])
    return team.shell(script, folder, variables)


def holds(condition: str, event: str) -> bool:
    if not condition:
        return True
    found = _CONDITION.fullmatch(condition)
    assert found is not None, condition
    return (found[2] == event) == (found[1] == "==")


def filled(text: str) -> str:
    return _EXPRESSION.sub(lambda found: EXPRESSIONS[found[1]], text)


def ours(project: Project) -> list[str]:
    """Return the names of terralive's resources in the account."""
    return [name for names in left(project).values() for name in names if "terralive" in name]


def test_make_targets_run_the_commands_with_the_settings_that_were_written(team: Team) -> None:
    assert "live-plan" in team.shell("make live-help", team.root)
    plan = team.shell(f"make live-plan TERRALIVE_ACCOUNTS={ACCOUNT}", team.root)
    assert "functions/greet" in plan, plan
    assert ours(team.project) == []
    assert team.shell("make", team.root) == "tested\n"


def test_the_job_of_a_closed_pull_request_removes_its_debug_stack_on_a_fresh_clone(
    team: Team,
) -> None:
    # An account that is listed needs no question.
    listed = {**team.environment, "TERRALIVE_ACCOUNTS": ACCOUNT}
    applied = run(["apply", "--stage", "pr-412", "--yes"], team.root, listed, 400)
    assert applied.process.returncode == 0, applied.story()
    assert ours(team.project)

    clone, job = team.clone(), as_the_job(team)
    # At night, a debug stack stays that was used in the last days.
    run_github(team, clone, "schedule", job)
    assert ours(team.project)
    run_github(team, clone, "pull_request", job)

    assert ours(team.project) == []
    # The app stays, with its own code.
    function = team.project.client("lambda").get_function(FunctionName="plain-greet")
    assert function["Configuration"]["Handler"] == "app.handler"
    assert "-m pip install terralive==" in team.calls.read_text("utf-8")


def test_the_job_of_gitlab_has_nothing_left_to_do(team: Team, tmp_path: Path) -> None:
    run_gitlab(team, "terralive-cleanup", tmp_path)
    assert ours(team.project) == []
    assert (tmp_path / "token").read_text("utf-8") == "a token"


def test_an_emulator_is_used_without_a_question(team: Team, info: SandboxInfo) -> None:
    assert left(team.project)["functions"]
    environment = {**team.environment, **sandbox_environment(info)}
    for name in ("AWS_ENDPOINT_URL_S3", "HTTP_PROXY"):
        del environment[name]
    command = "make live-destroy LIVE_ARGS='--app --stage pr-412 --yes'"
    ended = subprocess.run(["sh", "-c", command], cwd=team.root, env=environment, check=False)
    assert ended.returncode == 0
    assert left(team.project) == {"buckets": [BUCKET]}

"""Nobody else's Terraform sees terralive's files, and a killed terralive leaves none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.discovery.hcl.folders import OVERRIDE_FILE
from terralive_terraform.output.progress import Change, Progress
from terralive_terraform.overrides.guardian import FolderGuardian
from terralive_terraform.overrides.team_folder import KEPT_LOCK_FILE
from terralive_terraform.runs.environment import terraform_environment
from terralive_terraform.substitution.find_app import find_app
from terralive_terraform.substitution.plain_app import tidy
from terralive_terraform.substitution.rules import LiveSettings
from terralive_testing.machine.waiting import eventually

LIVE = LiveSettings(Path("/stage/stub.zip"), "aGFzaA==")
LOCK = "# the team's own versions\n"
# Plans of functions that are not deployed ask AWS nothing.
ROOT = """
terraform {
  required_providers { aws = { source = "hashicorp/aws" } }
}
provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "x"
  secret_key                  = "x"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
}
"""
CALL = 'module "jobs" { source = "../../modules/jobs" }\n'
JOBS = """
resource "aws_lambda_function" "job" {
  function_name = "job"
  role          = "arn:aws:iam::123456789012:role/job"
  s3_bucket     = "the-real-code"
  s3_key        = "job.zip"
  handler       = "app.handler"
  runtime       = "python3.12"
}
"""
FUNCTION = """
resource "aws_lambda_function" "api" {
  function_name = "api"
  role          = "arn:aws:iam::123456789012:role/api"
  handler       = "app.handler"
  runtime       = "python3.12"
  filename      = "api.zip"
}
"""
# A Terraform that stops at named points: it says that it is there, and goes on when it may.
# It prints and writes what the real one does, as far as it matters here.
STOPPING_TERRAFORM = """#!/bin/sh
stop_at() {
  touch "$POINTS/at-$1"
  until [ -e "$POINTS/go-on-from-$1" ]; do sleep 0.02; done
}
# The note of a backend is made elsewhere.
[ -e main.tf ] || exit 0
if [ "$1" = init ]; then
  stop_at init
  echo "# the stage's versions" >.terraform.lock.hcl
fi
if [ "$1" = plan ]; then
  echo '{"type":"version"}'
  ls -a >>"$POINTS/seen"
  stop_at plan
  echo '{"type":"refresh_start"}'
  stop_at refresh
fi
touch "$POINTS/$1-has-ended"
"""
# What a command of terralive's does, for ever.
PLANS = """
import os, sys
from pathlib import Path
from terralive_terraform.substitution.find_app import find_app
from terralive_terraform.substitution.rules import LiveSettings
project, work = Path(sys.argv[1]), Path(sys.argv[2])
live = LiveSettings(Path("/stage/stub.zip"), "aGFzaA==")
app = find_app(project, binary=str(work / "terraform"))
environment = dict(os.environ)
while True:
    with app.prepared(live, work / "stage", environment, work / "app.tfstate") as prepared:
        terraform = prepared.terraform(str(work / "terraform"), environment, lambda _: None)
        terraform.init()
        terraform.plan(work / "plans" / "app.tfplan")
"""


def own_files(project: Path) -> list[str]:
    return sorted(
        path.name for path in project.iterdir() if "terralive" in path.name or "hcl-" in path.name
    )


def test_a_plan_of_another_root_never_sees_that_a_shared_module_is_live(tmp_path: Path) -> None:
    """`terraform plan` in envs/prod, again and again, while envs/dev is made live."""
    (tmp_path / "modules" / "jobs").mkdir(parents=True)
    (tmp_path / "modules" / "jobs" / "main.tf").write_text(JOBS)
    roots = {name: tmp_path / "envs" / name for name in ("dev", "prod")}
    for root in roots.values():
        root.mkdir(parents=True)
        (root / "main.tf").write_text(ROOT + CALL)
    environment = terraform_environment(os.environ, tmp_path / "work")

    def plain(*arguments: str) -> str:
        ended = subprocess.run(
            ["terraform", *arguments, "-no-color", "-input=false"],
            cwd=roots["prod"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    plain("init")
    planned: list[bool] = []

    def make_live() -> None:
        app = find_app(roots["dev"])
        for _ in range(3):
            with app.prepared(LIVE, tmp_path / "stage", environment) as prepared:
                terraform = prepared.terraform("terraform", environment, lambda _: None)
                terraform.ensure_init()
                made = terraform.plan(tmp_path / "plans" / "app.tfplan")
                planned.append(bool(made.changes))

    thread = threading.Thread(target=make_live)
    thread.start()
    seen = []
    while thread.is_alive():
        seen.append(plain("plan"))
    thread.join()
    assert planned == [True] * 3
    assert seen
    for output in seen:
        assert "the-real-code" in output
        assert "stub" not in output


def test_override_files_are_gone_as_soon_as_terraform_has_read_them(tmp_path: Path) -> None:
    """Here: in the middle of the plan, and all through the apply."""
    (tmp_path / "main.tf").write_text(
        'resource "terraform_data" "files" {\n'
        '  provisioner "local-exec" { command = "sleep 1; ls -a >during-apply" }\n}\n'
    )
    environment = terraform_environment(os.environ, tmp_path / "work")
    seen = []

    def on_progress(event: Progress) -> None:
        if isinstance(event, Change):
            seen.append(own_files(tmp_path))

    with find_app(tmp_path).prepared(
        None, tmp_path / "stage", environment, tmp_path / "app.tfstate"
    ) as prepared:
        terraform = prepared.terraform("terraform", environment, on_progress)
        terraform.ensure_init()
        made = terraform.plan(tmp_path / "plans" / "app.tfplan")
        assert own_files(tmp_path) == []
        terraform.apply(made.file)
        assert not terraform.state.is_empty()
    assert seen == [[]]
    assert "terralive" not in (tmp_path / "during-apply").read_text()
    assert not (tmp_path / ".terraform").exists()


def test_a_plan_that_waits_for_the_states_lock_reads_the_override_file_afterwards(
    tmp_path: Path,
) -> None:
    slow = 'resource "terraform_data" "slow" {\n  provisioner "local-exec" {\n'
    slow += '    command = "touch slow; sleep 3"\n  }\n}\n'
    (tmp_path / "main.tf").write_text(ROOT + JOBS + slow)
    environment = terraform_environment(os.environ, tmp_path / "work")
    with find_app(tmp_path).prepared(LIVE, tmp_path / "stage", environment) as prepared:
        terraform = prepared.terraform("terraform", environment, lambda _: None)
        terraform.ensure_init()
        users = subprocess.Popen(
            ["terraform", "apply", "-auto-approve", "-target=terraform_data.slow"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        eventually((tmp_path / "slow").exists, "the user's own apply has the lock")
        made = terraform.plan(tmp_path / "plans" / "app.tfplan")
        (function,) = terraform.show(made.file).of_type("aws_lambda_function")
        assert users.wait() == 0
    assert function.after["handler"] == STUB_HANDLER
    assert own_files(tmp_path) == []


@dataclass(frozen=True)
class KilledRun:
    """A project, and a terralive that was killed while its Terraform stopped at a point.

    Attributes:
        project: the folder of `*.tf` files.
        points: the folder of `STOPPING_TERRAFORM`.
        before: the names of the project's files before terralive ran.
        left: terralive's files at the moment of the kill.
    """

    project: Path
    points: Path
    before: list[str]
    left: list[str]

    def let_terraform_go_on(self, point: str, command: str) -> None:
        """Let Terraform go on from its point, and wait for its end."""
        (self.points / f"go-on-from-{point}").touch()
        eventually((self.points / f"{command}-has-ended").exists, "Terraform has ended")

    def assert_restored(self) -> None:
        eventually(lambda: own_files(self.project) == [], "the files of the killed run are gone")
        assert (self.project / ".terraform.lock.hcl").read_text() == LOCK
        assert sorted(path.name for path in self.project.iterdir()) == self.before


def killed_at(point: str, folder: Path, *, files: list[str]) -> KilledRun:
    """Kill terralive when Terraform is at a point, and these files of terralive's are there."""
    project, work, points = folder / "project", folder / "work", folder / "points"
    for path in (project, work, points):
        path.mkdir()
    (project / "main.tf").write_text(FUNCTION)
    (project / ".terraform.lock.hcl").write_text(LOCK)
    # Functions have such files. The guardian must not import it.
    (project / "json.py").write_text("raise SystemExit\n")
    (work / "terraform").write_text(STOPPING_TERRAFORM)
    (work / "terraform").chmod(0o755)
    for other in {"init", "plan", "refresh"} - {point}:
        (points / f"go-on-from-{other}").touch()
    before = sorted(path.name for path in project.iterdir())
    running = subprocess.Popen(
        [sys.executable, "-P", "-c", PLANS, str(project), str(work)],
        cwd=project,
        env={**os.environ, "POINTS": str(points)},
    )
    try:
        eventually((points / f"at-{point}").exists, f"Terraform is at {point}")
        eventually(lambda: own_files(project) == files, f"terralive's files are {files}")
    except BaseException:
        (points / f"go-on-from-{point}").touch()
        raise
    finally:
        running.kill()
        running.wait()
    return KilledRun(project, points, before, files)


def test_a_kill_during_an_init_leaves_the_teams_lock_file_as_it_was(tmp_path: Path) -> None:
    """Terraform goes on, and writes the versions of the stage at its end."""
    run = killed_at("init", tmp_path, files=[KEPT_LOCK_FILE, OVERRIDE_FILE])
    tidy(run.project)
    assert own_files(run.project) == run.left, "they belong to the init that still runs"
    run.let_terraform_go_on("init", "init")
    run.assert_restored()


def test_a_kill_before_a_plan_has_read_the_files_removes_them_at_once(tmp_path: Path) -> None:
    """No next command is needed, and no end of the plan."""
    run = killed_at("plan", tmp_path, files=[OVERRIDE_FILE])
    run.assert_restored()
    run.let_terraform_go_on("plan", "plan")
    run.assert_restored()
    assert OVERRIDE_FILE in (run.points / "seen").read_text()


def test_a_kill_after_a_plan_has_read_the_files_finds_none(tmp_path: Path) -> None:
    run = killed_at("refresh", tmp_path, files=[])
    run.assert_restored()
    run.let_terraform_go_on("refresh", "plan")
    run.assert_restored()
    assert OVERRIDE_FILE in (run.points / "seen").read_text()


def test_a_guardian_that_does_not_answer_is_no_failure_of_a_command(tmp_path: Path) -> None:
    """It may be stopped, as everything is that a debugger or a sleeping laptop stops."""
    guardian = FolderGuardian(tmp_path, end_s=0.1)
    guardian.watch()
    process = guardian._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    guardian.close()
    assert process.returncode == -signal.SIGKILL


# An init whose terralive and guardian were killed.
LEFT_INIT = """
import fcntl, sys
from pathlib import Path
kept, lock = Path(sys.argv[1]), Path(sys.argv[2])
with kept.open() as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("runs", flush=True)
    sys.stdin.readline()
    lock.write_text("# the stage's versions")
"""


def test_the_next_command_waits_for_an_init_that_nobody_watches(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.tf").write_text(FUNCTION)
    kept, lock = project / KEPT_LOCK_FILE, project / ".terraform.lock.hcl"
    kept.write_text(LOCK)
    init = subprocess.Popen(
        [sys.executable, "-c", LEFT_INIT, str(kept), str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert init.stdout is not None
    init.stdout.readline()
    found: list[str] = []

    def run_next_command() -> None:
        with find_app(project).prepared(None, tmp_path / "work", os.environ):
            found.append(lock.read_text())

    thread = threading.Thread(target=run_next_command)
    thread.start()
    tidy(project)
    assert kept.exists()
    init.communicate(b"go on\n")
    thread.join()
    assert found == [LOCK]
    assert own_files(project) == []

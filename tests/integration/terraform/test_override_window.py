"""Nobody else's Terraform sees terralive's files, and a killed terralive leaves none."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.discovery.files import OVERRIDE_FILE
from terralive_terraform.runs.environment import terraform_environment
from terralive_terraform.runs.progress import Change, Progress
from terralive_terraform.substitution.find_app import find_app
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
# A Terraform that takes its time: it prints what the real one prints, as far as it matters here.
SLOW_TERRAFORM = """#!/bin/sh
if [ "$1" = plan ]; then
  echo '{"type":"version"}'
  ls -a >>"$SEEN"
  sleep 0.2
  echo '{"type":"refresh_start"}'
  sleep 0.2
fi
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
print("started", flush=True)
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
        assert not terraform.is_empty()
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


def test_a_kill_at_any_moment_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    """No next command is needed."""
    project, work = tmp_path / "project", tmp_path / "work"
    for folder in (project, work):
        folder.mkdir()
    (project / "main.tf").write_text(FUNCTION)
    (project / ".terraform.lock.hcl").write_text(LOCK)
    # Functions have such files. The guardian must not import it.
    (project / "json.py").write_text("raise SystemExit\n")
    (work / "terraform").write_text(SLOW_TERRAFORM)
    (work / "terraform").chmod(0o755)
    before = sorted(path.name for path in project.iterdir())
    chance = random.Random(12)
    interrupted = 0

    for _ in range(15):
        running = subprocess.Popen(
            [sys.executable, "-P", "-c", PLANS, str(project), str(work)],
            cwd=project,
            env={**os.environ, "SEEN": str(work / "seen")},
            stdout=subprocess.PIPE,
        )
        assert running.stdout is not None
        running.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.6))
        running.kill()
        interrupted += bool(own_files(project))
        running.wait()
        running.stdout.close()
        eventually(lambda: own_files(project) == [], "the files of the killed run are gone")
        assert (project / ".terraform.lock.hcl").read_text() == LOCK
        assert sorted(path.name for path in project.iterdir()) == before
    assert interrupted, "no kill came while the files were there"
    assert OVERRIDE_FILE in (work / "seen").read_text()

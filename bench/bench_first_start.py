"""Measure starts and a restore that change an app with many functions, beside `terraform apply`.

Each has a sandbox of its own, in one run: the app deployed by Terraform alone, with zips of the
stub's size; the app started by terralive, with the stub from S3; and the same with the stub as a
file, as functions of another account get it. Then one function is added. At last, Terraform alone
deploys other code of all functions, and terralive restores them. Nothing is asserted about times.
Run: python bench/bench_first_start.py [--functions 20]
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common import show, show_title

from terralive_sandbox.info import environment
from terralive_sandbox.process import SandboxProcess
from terralive_terraform.artifacts import stub_files
from terralive_terraform.runs.environment import terraform_environment
from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.plain_app import (
    add_one_of_many,
    project_of_many,
    zip_one_of_many,
)
from terralive_testing.drivers.project import Project

# A provider that names files with credentials may act as somebody else: it gets the stub as a file.
BY_FILE = "shared_config_files = []"
START_SECONDS = 900.0
START = ["start", "--sandbox", "--yes"]


@dataclass(frozen=True)
class Measured:
    """Seconds of each step.

    Attributes:
        first_s: until the app is there.
        apply_s: of the app's own apply in it.
        answered_s: until the first invocation is answered; None for Terraform alone.
        added_s: until one function more is there.
        all_s: until the code of all functions is another one.
    """

    first_s: float
    apply_s: float
    answered_s: float | None
    added_s: float
    all_s: float


def app(folder: Path, functions: int, provider: str = "") -> Project:
    """Write an app whose functions have zips of the stub's size."""
    return project_of_many(folder, functions, provider, stub_files())


def by_terraform(project: Project, functions: int) -> Measured:
    """Deploy an app by Terraform alone, add a function, and deploy other code of all of them."""
    folder = project.root
    sandbox = SandboxProcess.start(folder / "sandbox.json", log_path=folder / "sandbox.log")
    try:
        users = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        variables = {**terraform_environment(users, folder / "work"), **environment(sandbox.info)}
        began = time.monotonic()
        run_terraform(folder, variables, "init")
        applied = time.monotonic()
        apply = ("apply", "-auto-approve")
        run_terraform(folder, variables, *apply)
        ended = time.monotonic()
        add_one_of_many(project, functions, stub_files())
        adding = time.monotonic()
        run_terraform(folder, variables, *apply)
        added = time.monotonic()
        for number in range(functions + 1):
            zip_one_of_many(project, number, f"{number} again", stub_files())
        changing = time.monotonic()
        run_terraform(folder, variables, *apply)
        changed = time.monotonic()
    finally:
        sandbox.stop()
    return Measured(ended - began, ended - applied, None, added - adding, changed - changing)


def run_terraform(folder: Path, variables: dict[str, str], *words: str) -> None:
    binary = os.environ.get("TERRALIVE_TERRAFORM_BINARY", "terraform")
    command = [binary, *words, "-input=false", "-no-color"]
    subprocess.run(command, cwd=folder, env=variables, check=True, stdout=subprocess.DEVNULL)


def by_terralive(project: Project, functions: int) -> Measured:
    """Start an app with its debug stack, start it with one function more, and restore it."""
    with Command(["sandbox"], project.root) as sandbox:
        project.sandbox = sandbox.wait_for_type("ready")["sandbox"]
        began = time.monotonic()
        with Command(START, project.root) as start:
            start.wait_for_type("ready", START_SECONDS)
            first_s = time.monotonic() - began
            project.client("lambda").invoke(FunctionName="many-f0", Payload=b'"x"')
            answered_s = time.monotonic() - began
        apply_s = seconds_between(start, "apply", "complete")
        add_one_of_many(project, functions, stub_files())
        began = time.monotonic()
        with Command(START, project.root) as start:
            start.wait_for_type("ready", START_SECONDS)
            added_s = time.monotonic() - began
        began = time.monotonic()
        restored = run(["restore", "--sandbox", "--yes"], project.root, timeout_s=START_SECONDS)
        all_s = time.monotonic() - began
        if restored.process.returncode != 0:
            raise SystemExit(restored.story())
    return Measured(first_s, apply_s, answered_s, added_s, all_s)


def seconds_between(command: Command, first: str, last: str) -> float:
    """Return the time between two actions of the app's phase."""
    times = {
        event["action"]: dt.datetime.fromisoformat(event["at"])
        for event in command.of_type("stack")
        if event["phase"] == "app" and event["action"] in (first, last)
    }
    return (times[last] - times[first]).total_seconds()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--functions", type=int, default=20)
    options = parser.parse_args()
    show_title(f"The first start of {options.functions} functions")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        functions = options.functions
        plain = by_terraform(app(folder / "plain", functions), functions)
        show("init and apply by Terraform alone", f"{plain.first_s:.1f} s")
        show("  the apply", f"{plain.apply_s:.1f} s")
        show("  one function added", f"{plain.added_s:.1f} s")
        show("  other code of all functions", f"{plain.all_s:.1f} s")
        for title, provider in (("stub from S3", ""), ("stub as a file", BY_FILE)):
            project = app(folder / title.replace(" ", "-"), functions, provider)
            measured = by_terralive(project, functions)
            show_beside(f"terralive start, {title}", measured.first_s, plain.first_s)
            show_beside("  the apply of the app", measured.apply_s, plain.apply_s)
            if measured.answered_s is not None:
                show_beside("  until the first answer", measured.answered_s, plain.first_s)
            show_beside("  start with one function added", measured.added_s, plain.added_s)
            show_beside("  restore of all functions", measured.all_s, plain.all_s)


def show_beside(name: str, seconds: float, plain: float) -> None:
    show(name, f"{seconds:.1f} s", f"{seconds / plain:.2f} x Terraform alone")


if __name__ == "__main__":
    main()

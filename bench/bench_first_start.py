"""Measure the first start of an app with many functions, beside a plain `terraform apply` of it.

Each has a sandbox of its own, in one run: the app deployed by Terraform alone, with zips of the
stub's size; the app started by terralive, with the stub from S3; and the same with the stub as a
file, as functions of another account get it. Nothing is asserted about times.
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
from terralive_testing.drivers.command import Command
from terralive_testing.drivers.plain_app import project_of_many

# A provider that names files with credentials may act as somebody else: it gets the stub as a file.
BY_FILE = "shared_config_files = []"
START_SECONDS = 900.0


@dataclass(frozen=True)
class Measured:
    """Seconds until the app is there, and those of the app's own apply."""

    whole_s: float
    apply_s: float


def app(folder: Path, functions: int, provider: str = "") -> Path:
    """Write an app whose functions have zips of the stub's size."""
    return project_of_many(folder, functions, provider, stub_files()).root


def by_terraform(folder: Path) -> Measured:
    """Deploy an app by Terraform alone."""
    sandbox = SandboxProcess.start(folder / "sandbox.json", log_path=folder / "sandbox.log")
    try:
        users = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        variables = {**terraform_environment(users, folder / "work"), **environment(sandbox.info)}
        began = time.monotonic()
        run_terraform(folder, variables, "init")
        applied = time.monotonic()
        run_terraform(folder, variables, "apply", "-auto-approve")
        ended = time.monotonic()
    finally:
        sandbox.stop()
    return Measured(ended - began, ended - applied)


def run_terraform(folder: Path, variables: dict[str, str], *words: str) -> None:
    binary = os.environ.get("TERRALIVE_TERRAFORM_BINARY", "terraform")
    command = [binary, *words, "-input=false", "-no-color"]
    subprocess.run(command, cwd=folder, env=variables, check=True, stdout=subprocess.DEVNULL)


def by_terralive(folder: Path) -> Measured:
    """Start an app with its debug stack, until its functions are live."""
    with Command(["sandbox"], folder) as sandbox:
        sandbox.wait_for_type("ready")
        began = time.monotonic()
        with Command(["start", "--sandbox", "--yes"], folder) as start:
            start.wait_for_type("ready", START_SECONDS)
            whole_s = time.monotonic() - began
    apply_s = seconds_between(start, "apply", "complete")
    return Measured(whole_s, apply_s)


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
        plain = by_terraform(app(folder / "plain", options.functions))
        show("init and apply by Terraform alone", f"{plain.whole_s:.1f} s")
        show("  the apply", f"{plain.apply_s:.1f} s")
        for title, provider in (("stub from S3", ""), ("stub as a file", BY_FILE)):
            measured = by_terralive(
                app(folder / title.replace(" ", "-"), options.functions, provider)
            )
            beside = f"{measured.whole_s / plain.whole_s:.2f} x Terraform alone"
            show(f"terralive start, {title}", f"{measured.whole_s:.1f} s", beside)
            beside = f"{measured.apply_s / plain.apply_s:.2f} x Terraform alone"
            show("  the apply of the app", f"{measured.apply_s:.1f} s", beside)


if __name__ == "__main__":
    main()

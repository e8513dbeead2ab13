"""Measure starts of an app with many functions beside `terraform plan` alone, in the sandbox.

After a first start, three things run in turns: an unchanged start, the same with `--refresh`, and
`terraform plan` on the same configuration and state. Each start is measured until its event
`ready`, and until the first invocation after it is answered. Nothing is asserted about times.
Run: python bench/bench_start.py [--functions 20] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from common import show, show_title

from terralive_sandbox.info import SandboxInfo, environment
from terralive_testing.drivers.command import Command, clean_environment
from terralive_testing.drivers.plain_app import project_of_many
from terralive_testing.drivers.project import Project

PATIENCE_SECONDS = 600.0
# Parts of an unchanged start that need no network.
IMPORTS = "import terralive_cli.main, terralive_cli.commands.live.start"
CLIENTS = (
    "import boto3; session = boto3.Session(region_name='us-east-1'); "
    "[session.client(name) for name in ('sts', 'dynamodb', 'lambda', 'apigatewayv2')]"
)


@dataclass
class Times:
    """Seconds of several starts until `ready`, and until the first answer."""

    ready: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)


def start(project: Project, times: Times, *options: str) -> None:
    """Start, invoke one function, and stop."""
    began = time.monotonic()
    with Command(["start", "--sandbox", "--yes", *options], project.root) as command:
        command.wait_for_type("ready", PATIENCE_SECONDS)
        times.ready.append(time.monotonic() - began)
        answer = project.client("lambda").invoke(FunctionName="many-f0", Payload=b'"x"')
        times.answered.append(time.monotonic() - began)
        if answer["Payload"].read() != b'"x"':
            raise SystemExit(f"a wrong answer\n{command.story()}")


def plan(project: Project, info: SandboxInfo, binary: str) -> float:
    """Return the seconds that `terraform plan` alone takes, on the state of the stage."""
    (state,) = (project.root / ".terralive" / "sandbox").glob("*/*/app.tfstate")
    own = {**clean_environment(), **environment(info)}
    mirror = own.get("TERRALIVE_PROVIDER_MIRROR")
    if mirror:
        configuration = project.root / ".terralive" / "bench.tfrc"
        configuration.write_text(
            f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n',
            "utf-8",
        )
        own["TF_CLI_CONFIG_FILE"] = str(configuration)
    # The data folder must not be that of the project, which a start looks at.
    own["TF_DATA_DIR"] = str(project.root / ".terralive" / "bench-data")
    if not Path(own["TF_DATA_DIR"]).exists():
        subprocess.run(
            [binary, "init", "-input=false"],
            cwd=project.root,
            env=own,
            check=True,
            capture_output=True,
        )
    began = time.monotonic()
    subprocess.run(
        [binary, "plan", "-input=false", "-lock=false", f"-state={state}"],
        cwd=project.root,
        env=own,
        check=True,
        capture_output=True,
    )
    return time.monotonic() - began


def python(code: str) -> float:
    """Return the seconds that a Python takes for some code, with its own start."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--functions", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    binary = os.environ.get("TERRALIVE_TERRAFORM_BINARY", "terraform")
    show_title(f"starts of {options.functions} functions in the sandbox")
    with tempfile.TemporaryDirectory() as folder:
        project = project_of_many(Path(folder) / "many", options.functions)
        with Command(["sandbox"], project.root) as sandbox:
            project.sandbox = sandbox.wait_for_type("ready")["sandbox"]
            info = SandboxInfo.from_json(
                (project.root / ".terralive" / "sandbox.json").read_text("utf-8")
            )
            first, unchanged, planned = Times(), Times(), Times()
            start(project, first)
            plan(project, info, binary)  # with its init
            start(project, planned, "--refresh")
            plans: list[float] = []
            imports: list[float] = []
            clients: list[float] = []
            for _ in range(options.rounds):
                start(project, unchanged)
                imports.append(python(IMPORTS))
                clients.append(python(CLIENTS))
                plans.append(plan(project, info, binary))
                start(project, planned, "--refresh")
    alone = statistics.median(plans)
    began = statistics.median(unchanged.ready)
    show("first start, until ready", f"{first.ready[0]:.2f} s")
    show("`terraform plan` alone", f"{alone:.2f} s")
    for name, times in (("unchanged start", unchanged), ("start --refresh", planned)):
        ready, answered = statistics.median(times.ready), statistics.median(times.answered)
        beside = f"{ready / alone:.2f} x `terraform plan` alone"
        show(f"{name}, until ready", f"{ready:.2f} s", beside)
        show(f"{name}, until the first answer", f"{answered:.2f} s")
    for name, several in (("importing terralive", imports), ("boto3 and four clients", clients)):
        part = statistics.median(several)
        show(f"{name} alone", f"{part:.2f} s", f"{part / began:.0%} of an unchanged start")


if __name__ == "__main__":
    main()

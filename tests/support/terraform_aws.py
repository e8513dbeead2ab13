"""An AWS control plane (moto) for tests that run the real Terraform, and the environment that leads there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from terralive_terraform.mirror import terraform_environment
from terralive_terraform.progress import Progress
from terralive_terraform.runner import Plan, Terraform


@contextmanager
def moto_environment(work: Path) -> Iterator[dict[str, str]]:
    """Run moto on a free port for as long as the block lasts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "moto_server"), "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        _wait_until_it_answers(process, endpoint)
        yield {
            **terraform_environment(os.environ, work),
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "eu-west-1",
        }
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_it_answers(process: subprocess.Popen[bytes], endpoint: str) -> None:
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5):  # noqa: S310  # our own loopback server
                return
        except (urllib.error.URLError, OSError):
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
    raise AssertionError("moto_server has ended")


def terraform_in(
    directory: Path, environment: dict[str, str], data_dir: Path | None
) -> tuple[Terraform, list[Progress]]:
    events: list[Progress] = []
    return Terraform(directory, environment=environment, on_progress=events.append, data_dir=data_dir), events


def plan(terraform: Terraform, work: Path, *, destroy: bool = False) -> Plan:
    terraform.ensure_init()
    return terraform.plan(work / "plans" / "test.tfplan", destroy=destroy)


def actions(made: Plan) -> Sequence[tuple[str, str]]:
    return sorted((change.action, change.address) for change in made.changes)

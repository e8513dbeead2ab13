"""`terralive doctor`: what killed runs leave on this machine, and what `--fix` removes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from terralive_cli.configuration.tables import TerraformConfig
from terralive_cli.configuration.values import Config
from terralive_cli.deploy import record
from terralive_cli.deploy.target import sandbox_file
from terralive_cli.doctor.findings import CheckState
from terralive_cli.doctor.machine.leftovers import check_leftovers, find
from terralive_sandbox.info import SandboxInfo
from terralive_terraform.discovery.hcl.folders import OVERRIDE_FILE
from terralive_terraform.overrides.team_folder import KEPT_LOCK_FILE, folder_lock

_HOLD = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / ".terralive").mkdir()
    return Config(tmp_path, "orders", "dev-ana", "ana", TerraformConfig(tmp_path))


@contextmanager
def held(state: Path) -> Iterator[None]:
    """Another process that has the lock of a state, as Terraform has."""
    command = [sys.executable, "-c", _HOLD, str(state)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.communicate()


def sandbox(pid: int) -> SandboxInfo:
    return SandboxInfo("http://x", "eu-west-1", pid, "", "", "", "k", "s", "1", "id-1")


def references(config: Config) -> list[str]:
    return [finding.reference for finding in check_leftovers(config, fix=False).findings]


def test_nothing_is_left(config: Config) -> None:
    outcome = check_leftovers(config, fix=True)
    assert outcome.message == "no killed run has left files"
    assert outcome.state is CheckState.OK


def test_files_beside_the_configuration_are_removed_and_its_lock_file_is_put_back(
    config: Config,
) -> None:
    folder = config.terraform.dir
    (folder / OVERRIDE_FILE).write_text("{}")
    (folder / ".terraform.lock.hcl").write_text("stage")
    (folder / KEPT_LOCK_FILE).write_text("team")
    assert references(config) == ["override-left"]
    assert (folder / OVERRIDE_FILE).exists(), "a look changes nothing"

    (finding,) = check_leftovers(config, fix=True).findings

    assert (finding.state, finding.fixed[:7]) == (CheckState.OK, "removed")
    assert (folder / ".terraform.lock.hcl").read_text() == "team"
    assert not (folder / OVERRIDE_FILE).exists()
    assert references(config) == []


def test_the_files_of_a_run_at_work_stay(config: Config) -> None:
    folder = config.terraform.dir
    (folder / OVERRIDE_FILE).write_text("{}")
    with folder_lock(folder):
        outcome = check_leftovers(config, fix=True)
    assert (outcome.message, outcome.findings) == ("another terralive command is running here", ())
    assert (folder / OVERRIDE_FILE).exists()
    assert find(config).blocks_terraform


def test_the_lock_of_a_state_is_removed_only_if_nobody_holds_it(config: Config) -> None:
    folder = config.project / ".terralive" / "aws" / "1-eu-west-1" / "dev-ana"
    folder.mkdir(parents=True)
    state, info = folder / "app.tfstate", folder / ".app.tfstate.lock.info"
    state.write_text("{}")
    info.write_text("{}")
    with held(state):
        assert references(config) == []
        check_leftovers(config, fix=True)
        assert info.exists()
    assert references(config) == ["lock-left"]
    (finding,) = check_leftovers(config, fix=True).findings
    assert finding.state is CheckState.OK
    assert (info.exists(), state.exists()) == (False, True)


def test_a_sandbox_that_has_ended_leaves_files_and_one_that_runs_keeps_them(
    config: Config,
) -> None:
    own = config.project / ".terralive" / "sandbox" / "id-1"
    other = own.with_name("id-0")
    for folder in (own, other):
        folder.mkdir(parents=True)
    file = sandbox_file(config.project)
    file.write_text(json.dumps(asdict(sandbox(os.getpid()))))
    check_leftovers(config, fix=True)
    assert (file.exists(), own.exists(), other.exists()) == (True, True, False)

    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    file.write_text(json.dumps(asdict(sandbox(ended.pid))))
    assert references(config) == ["sandbox-left"]
    check_leftovers(config, fix=True)
    assert (file.exists(), own.exists()) == (False, False)


def test_a_deployment_that_was_not_finished_is_named_and_its_mark_stays(config: Config) -> None:
    work = config.project / ".terralive" / "aws" / "1-eu-west-1" / "dev-ana"
    record.begin_deployment(work)
    (finding,) = check_leftovers(config, fix=True).findings
    assert (finding.reference, finding.state) == ("deployment-unfinished", CheckState.WARNING)
    assert "aws/1-eu-west-1/dev-ana" in finding.message
    assert record.is_unfinished(work)

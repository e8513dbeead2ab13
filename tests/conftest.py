"""Fixtures that every part's tests may use."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from terralive_testing.machine.light.terraform import use_light_terraform
from terralive_testing.machine.provider_mirror import use_mirror
from terralive_testing.machine.sandbox_logs import LOGS

if TYPE_CHECKING:
    from terralive_sandbox.info import SandboxInfo

# A shell starts background jobs with SIGINT ignored, nohup ignores SIGHUP, and every child inherits
# that: no test of Ctrl-C or of a closed terminal could pass.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# CDKTF programs run on this Python, as in a shell in which its virtual environment is active.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
if sys.prefix != sys.base_prefix:
    # Handlers, too: other interpreters of this machine lack what examples import.
    os.environ["VIRTUAL_ENV"] = sys.prefix

# Tests run Terraform without a registry, too.
use_mirror()
use_light_terraform()

# No test asserts a time: on a machine that is busy with other test processes, Hypothesis' own
# bounds are just that. Every run tries the same examples; TERRALIVE_EXPLORE=1 tries others.
settings.register_profile(
    "terralive",
    deadline=None,
    derandomize=not int(os.environ.get("TERRALIVE_EXPLORE", "0")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("terralive")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """Fail a test whose fixtures make a sandbox write a traceback to its log."""
    return (yield from _watched())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Fail a test that makes a sandbox write a traceback to its log."""
    return (yield from _watched())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, object, object]:
    """Fail a test if a sandbox that it ends writes a traceback to its log."""
    return (yield from _watched())


def _watched() -> Generator[None, object, object]:
    result = yield
    found = LOGS.new_tracebacks()
    assert not found, "\n".join(["A sandbox has failed; its log has a traceback.", *found])
    return result


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxInfo]:
    """One sandbox for the whole run; see terralive_testing.deployers.sandbox for ways to use it."""
    from terralive_testing.deployers.sandbox import running_sandbox  # noqa: PLC0415 - unit tests do not pay for boto3

    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as info:
        yield info

"""Run a sandbox as a child process that never outlives its parent. Light imports only."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from terralive_sandbox.info import SandboxInfo, attach
from terralive_stub.errors import ConfigurationError, TerraliveError
from terralive_stub.protocol.limits import CONCURRENT_EXECUTIONS
from terralive_stub.shared.debug_log import FILE_VARIABLE, LEVEL_VARIABLE

_log: Final = logging.getLogger("terralive.sandbox")

# Exit code of a sandbox that lacks a module of another project. Its last line names the module.
MODULE_MISSING: Final = 69
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
_TAIL_LINES: Final = 15
# The variables of this process that a sandbox gets, and no others: nothing of the caller's AWS.
_KEPT_VARIABLES: Final = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
    "PYTHONPATH",
    "NODE_PATH",
    # The folders of other Pythons
    "PYENV_ROOT",
    "UV_PYTHON_INSTALL_DIR",
    LEVEL_VARIABLE,
    FILE_VARIABLE,
)


class SandboxProcess:
    """A running sandbox. `stop()` ends it, and so does the end of this process.

    The child has the read end of a pipe as its stdin. When this process ends, also by kill -9, the
    child reads the end of file and stops.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], info: SandboxInfo, info_path: Path
    ) -> None:
        # Its addresses and keys
        self.info = info
        self._process = process
        # The file that has `info`; removed when the process ends.
        self._info_path = info_path

    @classmethod
    def start(
        cls,
        info_path: Path,
        *,
        region: str = "us-east-1",
        port: int = 0,
        log_path: Path,
        time_scale: float = 1.0,
        concurrency: int = CONCURRENT_EXECUTIONS,
    ) -> SandboxProcess:
        """Start a sandbox and wait until it answers.

        Args:
            info_path: the file that gets its address.
            region: its region.
            port: its port; 0 is a free one.
            log_path: the file that its log is appended to.
            time_scale: a factor for the waiting times of API Gateway and Lambda.
            concurrency: the number of executions that the account may have at once.

        Raises:
            ConfigurationError: `sandbox-not-installed`.
            TerraliveError: it ended or did not answer (`sandbox-failed`), with the end of its log.
        """
        log_path.parent.mkdir(parents=True, exist_ok=True)
        info_path.unlink(missing_ok=True)
        # `-P`: a file of the user's named like a module of Python is not imported instead of it.
        command = [sys.executable, "-P", "-m", "terralive_sandbox", "--info", str(info_path)]
        command += ["--port", str(port), "--region", region, "--time-scale", str(time_scale)]
        command += ["--concurrency", str(concurrency), "--with-parent"]
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment,
            )
        try:
            info = _wait_until_it_answers(process, info_path)
        except BaseException:
            _end(process)
            raise
        if info is None:
            ended = process.poll()
            _end(process)
            raise _start_error(log_path, is_installed=ended != MODULE_MISSING)
        _log.debug("sandbox %d answers at %s", info.pid, info.endpoint)
        return cls(process, info, info_path)

    def is_running(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the sandbox and every function process. A second call does nothing."""
        _end(self._process)
        self._info_path.unlink(missing_ok=True)


def _wait_until_it_answers(process: subprocess.Popen[bytes], info_path: Path) -> SandboxInfo | None:
    """Return the sandbox, or None if it ends or the time is over."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        info = attach(info_path)
        if info is not None and info.pid == process.pid:
            return info
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
    return None


def _start_error(log_path: Path, *, is_installed: bool) -> TerraliveError:
    lines = log_path.read_text(errors="replace").splitlines()
    if not is_installed:
        return ConfigurationError(
            "sandbox-not-installed",
            f"The sandbox is an extra of terralive that is not installed. {lines[-1]}",
            hint="Type `pip install 'terralive[sandbox]'` (or `pipx install --force "
            "'terralive[sandbox]'`, `uv tool install 'terralive[sandbox]'`). Without `--sandbox`, "
            "terralive uses your AWS account.",
        )
    tail = "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:])
    return TerraliveError(
        "sandbox-failed",
        f"The sandbox did not start. The end of its log ({log_path}):\n{tail}",
        hint="Is the port free?",
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a sandbox: by the end of its stdin and SIGTERM, then by SIGKILL."""
    if process.stdin is not None:
        process.stdin.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

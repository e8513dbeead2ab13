"""Runs a sandbox as a child process that never outlives its parent. Light imports only."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from terralive_sandbox.info import SandboxInfo, attach
from terralive_stub.errors import TerraliveError
from terralive_workers.debug_log import FILE_VARIABLE, LEVEL_VARIABLE

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_TAIL_LINES = 15
_KEPT = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
    "PYTHONPATH",
    LEVEL_VARIABLE,
    FILE_VARIABLE,
)


class SandboxProcess:
    """A running sandbox. `stop()` ends it; so does the end of this process, however it comes.

    The child holds the read end of a pipe on its stdin: when this process goes, also by kill -9, it
    reads the end of file and stops.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], info: SandboxInfo, info_path: Path
    ) -> None:
        self.info = info
        self._process = process
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
        concurrency: int = 1000,
    ) -> SandboxProcess:
        """Start a sandbox and wait until it answers.

        Raises:
            TerraliveError: it ended or stayed silent (`sandbox-failed`), with the end of its log.
        """
        log_path.parent.mkdir(parents=True, exist_ok=True)
        info_path.unlink(missing_ok=True)
        command = [
            sys.executable,
            "-m",
            "terralive_sandbox",
            "--info",
            str(info_path),
            "--port",
            str(port),
        ]
        command += ["--region", region, "--time-scale", str(time_scale), "--with-parent"]
        command += ["--concurrency", str(concurrency)]
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        try:
            while time.monotonic() < deadline and process.poll() is None:
                info = attach(info_path)
                if info is not None and info.pid == process.pid:
                    return cls(process, info, info_path)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
        except BaseException:
            _end(process)
            raise
        _end(process)
        lines = log_path.read_text(errors="replace").splitlines()
        tail = "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:])
        raise TerraliveError(
            "sandbox-failed",
            f"The sandbox did not start. The end of its log ({log_path}):\n{tail}",
            hint="Is everything of `pip install 'terralive[sandbox]'` installed, and is the port free?",
        )

    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """End the sandbox and every function process; calling it twice is fine."""
        _end(self._process)
        self._info_path.unlink(missing_ok=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

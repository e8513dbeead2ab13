"""One Terraform process: its output line by line, and an end that loses nothing.

Terraform runs in its own session, so a Ctrl-C at the terminal reaches only us; we pass it on once,
as Terraform expects (https://developer.hashicorp.com/terraform/internals/machine-readable-ui,
`terraform apply` stops gracefully on SIGINT), and wait until it has written its state and released
its lock. Its output goes to a file rather than a pipe: if we are killed, Terraform must not die of
SIGPIPE in the middle of an apply.

So a Terraform may outlive us, and a state that is read meanwhile would be half of the truth. It
holds a lock on its folder's scratch, which it inherits from us and which the kernel takes back at
its end; the next run waits for that.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError, TerraformError

_POLL_S: Final = 0.03
_WAIT_S: Final = 300.0
_LOCK: Final = "terralive-run.lock"
_MODE: Final = 0o700


def private_directory(path: Path) -> Path:
    """Make a folder that only this user can look into: plans hold secrets."""
    path.mkdir(mode=_MODE, parents=True, exist_ok=True)
    path.chmod(_MODE)
    return path


def run_process(
    arguments: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    scratch: Path,
    on_line: Callable[[str], None],
    on_error_line: Callable[[str], None] | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> int:
    """Run a command to its end and give its exit code.

    Args:
        arguments: the command and its arguments.
        cwd: where it runs.
        environment: its whole environment.
        scratch: a folder of our own for its output files, which are gone when this function ends.
        on_line: gets every line of stdout, without its newline; of stderr too, unless
            `on_error_line` does.
        on_error_line: gets every line of stderr, when the command has ended.
        on_wait: called once if another run with this scratch has to end first.

    Raises:
        TerraformError: another run does not end.
        KeyboardInterrupt: after the command has ended by itself, with the interrupt passed on to
            it.
        ConfigurationError: there is no such command.
    """
    with (
        _turn(private_directory(scratch), on_wait) as lock,
        tempfile.TemporaryFile(dir=scratch, prefix="output-") as output,
        tempfile.TemporaryFile(dir=scratch, prefix="output-") as errors,
    ):
        try:
            process = subprocess.Popen(  # the loop below waits for it, whatever happens
                arguments,
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors if on_error_line else subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock,),
            )
        except FileNotFoundError:
            raise missing_binary(arguments[0]) from None
        _follow(process, _Lines(output.fileno(), on_line))
        if on_error_line:
            _Lines(errors.fileno(), on_error_line).finish()
        return process.returncode


@contextmanager
def _turn(scratch: Path, on_wait: Callable[[], None]) -> Iterator[int]:
    """Be the only run with this scratch; gives the lock's descriptor."""
    descriptor = os.open(scratch / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(descriptor):
            on_wait()
            until = time.monotonic() + _WAIT_S
            while not _locked(descriptor):
                if time.monotonic() > until:
                    raise TerraformError(
                        "terraform-busy",
                        f"Another Terraform run of this stage has not ended within {_WAIT_S:.0f} s ({scratch}).",
                        hint="Wait for its end (`ps` shows it), or end it with `kill -INT`, then run the same command.",
                    )
                time.sleep(_POLL_S)
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Lines:
    """Hands on the complete lines of a growing file, without moving the offset that its writer shares."""

    def __init__(self, descriptor: int, on_line: Callable[[str], None]) -> None:
        self._descriptor = descriptor
        self._on_line = on_line
        self._offset = 0
        self._rest = b""

    def pump(self) -> None:
        while data := os.pread(self._descriptor, 1 << 16, self._offset):
            self._offset += len(data)
            *complete, self._rest = (self._rest + data).split(b"\n")
            for line in complete:
                self._on_line(line.decode("utf-8", "replace"))

    def finish(self) -> None:
        self.pump()
        if self._rest:
            rest, self._rest = self._rest, b""
            self._on_line(rest.decode("utf-8", "replace"))


def _follow(process: subprocess.Popen[bytes], lines: _Lines) -> None:
    stopped: BaseException | None = None
    interrupts = 0
    while True:
        try:
            try:
                process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                if stopped is None:
                    lines.pump()
                continue
            if stopped is None:
                lines.finish()
            break
        except BaseException as error:  # noqa: BLE001  # whatever it is, Terraform must end first; raised below
            stopped = stopped or error
            if process.returncode is not None:
                break
            interrupts += 1
            _interrupt(process, interrupts)
    if stopped is not None:
        raise stopped


def _interrupt(process: subprocess.Popen[bytes], interrupts: int) -> None:
    """Once.

    Stop gracefully. Twice: Terraform gives up waiting for its providers. Thrice: it is killed.
    """
    graceful_interrupts = 2
    try:
        if interrupts <= graceful_interrupts:
            process.send_signal(signal.SIGINT)
        else:
            os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def missing_binary(binary: str) -> ConfigurationError:
    """Give the error for a command that is not on PATH."""
    return ConfigurationError(
        "terraform-missing",
        f"{binary} is not on PATH. terralive needs Terraform 1.5 or newer.",
        hint="Install it from https://developer.hashicorp.com/terraform/install, or name another binary in "
        'terralive.toml: [terraform] binary = "tofu".',
    )

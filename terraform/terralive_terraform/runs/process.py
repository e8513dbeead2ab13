"""One Terraform process: its output line by line, and an end that loses nothing.

Terraform runs in a session of its own, so a Ctrl-C at the terminal reaches only terralive.
terralive passes it on once, and Terraform stops gracefully
(https://developer.hashicorp.com/terraform/cli/commands/apply): it writes its state and releases its
lock. terralive waits for that end. The output goes to a file rather than a pipe: if terralive is
killed, Terraform must not die of SIGPIPE in the middle of an apply.

So a Terraform may outlive the terralive that started it, and a state that is read meanwhile would
be incomplete. Terraform inherits a file lock from terralive, which the kernel releases when
Terraform ends. The next run waits for that lock.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError, TerraformError
from terralive_terraform.runs.file_lock import take_lock
from terralive_terraform.side_by_side.runs import RunsAtOnce, StoppedError

_POLL_S: Final = 0.03
_WAIT_S: Final = 300.0  # for the end of an earlier run
# After so many interrupts Terraform is killed. The first asks it to stop gracefully; with the
# second, Terraform no longer waits for its providers.
_GRACEFUL_INTERRUPTS: Final = 2
_LOCK: Final = "terralive-run.lock"
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600


def private_directory(path: Path) -> Path:
    """Create a folder that only this user can read. Plans hold secrets."""
    path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    path.chmod(_FOLDER_MODE)
    return path


def make_state_private(state: Path) -> None:
    """Let only this user read a state file and its backup, which Terraform lets everybody read.

    https://developer.hashicorp.com/terraform/language/state/sensitive-data
    """
    for file in (state, state.with_name(f"{state.name}.backup")):
        with contextlib.suppress(FileNotFoundError):
            file.chmod(_FILE_MODE)


def run_process(
    arguments: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    scratch: Path,
    on_line: Callable[[str], None],
    on_error_line: Callable[[str], None] | None = None,
    on_wait: Callable[[], None] = lambda: None,
    inherited: Sequence[int] = (),
    runs: RunsAtOnce | None = None,
) -> int:
    """Run a command to its end and return its exit code.

    Args:
        arguments: the command and its arguments.
        cwd: the folder that it runs in.
        environment: its whole environment.
        scratch: a folder of terralive's own for its output files, which are removed at the end.
        on_line: receives every line of stdout, without its newline; of stderr, too, unless
            `on_error_line` is given.
        on_error_line: receives every line of stderr, after the command has ended.
        on_wait: called once if an earlier run with this scratch folder has to end first.
        inherited: the descriptors of further locks that the command keeps to its end.
        runs: the runs of the same command. Another thread may ask for their end, which is an
            interrupt for each of them; None for a run that is alone.

    Raises:
        TerraformError: an earlier run does not end.
        KeyboardInterrupt: the interrupt was passed on to the command, and the command has ended.
        StoppedError: another thread has asked for the end, and the command has ended.
        ConfigurationError: there is no such command.
    """
    runs = runs or RunsAtOnce()
    error_target = subprocess.STDOUT
    with (
        _exclusive(private_directory(scratch), on_wait, runs) as lock,
        tempfile.TemporaryFile(dir=scratch, prefix="output-") as output,
        tempfile.TemporaryFile(dir=scratch, prefix="output-") as errors,
    ):
        if on_error_line is not None:
            error_target = errors.fileno()
        try:
            process = subprocess.Popen(  # `_follow` waits for its end, whatever happens
                arguments,
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=error_target,
                start_new_session=True,
                pass_fds=(lock, *inherited),
            )
        except FileNotFoundError:
            raise missing_binary(arguments[0]) from None
        _follow(process, _Lines(output.fileno(), on_line), runs)
        if on_error_line is not None:
            _Lines(errors.fileno(), on_error_line).finish()
        return process.returncode


def wait_for_earlier_run(scratch: Path, on_wait: Callable[[], None]) -> None:
    """Return when no run with this scratch folder is left; see `run_process`.

    Raises:
        TerraformError: an earlier run does not end.
    """
    with _exclusive(private_directory(scratch), on_wait, RunsAtOnce()):
        return


@contextmanager
def _exclusive(scratch: Path, on_wait: Callable[[], None], runs: RunsAtOnce) -> Iterator[int]:
    """Hold the lock of a scratch folder. Yields the lock's file descriptor."""
    descriptor = os.open(scratch / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    try:
        if not take_lock(descriptor, _WAIT_S, on_wait, runs.require_going_on):
            raise TerraformError(
                "terraform-busy",
                "Another Terraform run of this stage has not ended within "
                f"{_WAIT_S:.0f} s ({scratch}).",
                hint="Wait for its end (`ps` shows it), or stop it with `kill -INT`. Then "
                "run the same command again.",
            )
        yield descriptor
    finally:
        os.close(descriptor)


class _Lines:
    """Reads the complete lines of a file that another process writes.

    It reads with `pread`, because the writer shares the file's offset.
    """

    def __init__(self, descriptor: int, on_line: Callable[[str], None]) -> None:
        self._descriptor = descriptor
        self._on_line = on_line
        self._offset = 0  # bytes read so far
        self._rest = b""  # the beginning of a line that is not complete yet

    def pump(self) -> None:
        """Pass on the lines that have been completed since the last call."""
        while True:
            data = os.pread(self._descriptor, 1 << 16, self._offset)
            if not data:
                return
            self._offset += len(data)
            *complete, self._rest = (self._rest + data).split(b"\n")
            for line in complete:
                self._on_line(line.decode("utf-8", "replace"))

    def finish(self) -> None:
        """Pass on everything that is left, also a last line without a newline."""
        self.pump()
        if self._rest:
            rest, self._rest = self._rest, b""
            self._on_line(rest.decode("utf-8", "replace"))


def _follow(process: subprocess.Popen[bytes], lines: _Lines, runs: RunsAtOnce) -> None:
    """Pass on the lines of a process until it has ended.

    An exception on this thread (Ctrl-C, or one of `on_line`) interrupts the process, and so does
    another thread by `runs`. It is raised again after the process has ended.
    """
    stopped: BaseException | None = None
    interrupts = 0
    while process.returncode is None:
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)
            if stopped is None:
                lines.pump()
            if runs.stops() > interrupts and process.returncode is None:
                raise StoppedError  # noqa: TRY301  # handled like an interrupt
        except BaseException as error:  # noqa: BLE001  # raised below, when Terraform has ended
            stopped = stopped or error
            interrupts += 1
            if isinstance(error, KeyboardInterrupt):
                runs.pass_interrupt_on()
            _interrupt(process, interrupts)
    if stopped is not None:
        raise stopped
    lines.finish()


def _interrupt(process: subprocess.Popen[bytes], interrupts: int) -> None:
    """Interrupt a process, or kill it and its children after too many interrupts."""
    try:
        if interrupts <= _GRACEFUL_INTERRUPTS:
            process.send_signal(signal.SIGINT)
        else:
            os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def missing_binary(binary: str) -> ConfigurationError:
    """Return the error for a command that is not on PATH."""
    return ConfigurationError(
        "terraform-missing",
        f"{binary} is not on PATH. terralive needs Terraform 1.5 or newer.",
        hint="Install it from https://developer.hashicorp.com/terraform/install, or name another "
        'binary in the table [terraform] of terralive.toml: binary = "tofu".',
    )

"""Interruption of a command from outside, and the message to the user afterwards.

Ctrl-C, `kill` and a closed terminal all raise KeyboardInterrupt, so that every `finally` runs,
Terraform is asked to stop and is waited for, and no child process stays. While `start` only waits,
they are queued instead (`Interrupts`). The message never claims more than is known.

A second Ctrl-C or `kill` means that the user does not want to wait. A closed terminal never means
that: the shell and the system may both send its SIGHUP, and the user may close it after Ctrl-C.
https://www.gnu.org/software/bash/manual/html_node/Signals.html
https://pubs.opengroup.org/onlinepubs/9699919799/functions/_exit.html
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Final, Self, TypeAlias

from terralive_cli.configuration.values import Config
from terralive_cli.output.events import Stopped
from terralive_terraform.runs.arguments import shown_arguments

# Ctrl-C, a `kill`, and a closed terminal.
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None
# Until a finalizer has ended in which an interrupt was dropped.
_AGAIN_SECONDS: Final = 0.05
_PIPE_BYTES: Final = 4096
_DEPLOYING: Final = ("start", "apply")
_UNDOING: Final = ("restore", "destroy")
_CALLING: Final = ("invoke",)
_CLEANING: Final = ("gc",)


@contextmanager
def as_keyboard_interrupt() -> Iterator[None]:
    """Turn Ctrl-C, `kill` and a closed terminal into KeyboardInterrupt.

    After another signal, a closed terminal raises nothing. A signal that is ignored stays ignored,
    as with `nohup`. An interrupt that comes while Python runs a finalizer is not raised there, but
    reported and dropped (https://docs.python.org/3/library/sys.html#sys.unraisablehook). It is sent
    once more then.
    """
    is_interrupted = False

    def interrupt(number: int, _frame: FrameType | None) -> None:
        nonlocal is_interrupted
        if is_interrupted and number == signal.SIGHUP:
            return
        is_interrupted = True
        raise KeyboardInterrupt

    before = sys.unraisablehook

    def send_again(dropped: sys.UnraisableHookArgs, /) -> None:
        if not isinstance(dropped.exc_value, KeyboardInterrupt):
            before(dropped)
            return
        # The finalizer has to end first.
        timer = threading.Timer(_AGAIN_SECONDS, _interrupt_this_process)
        timer.daemon = True
        timer.start()

    sys.unraisablehook = send_again
    try:
        with _handled(_SIGNALS, interrupt):
            yield
    finally:
        sys.unraisablehook = before


def _interrupt_this_process() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def _handled(
    numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Handle signals in another way while the context lasts."""
    former = handle(numbers, handler)
    try:
        yield
    finally:
        for number, known in former.items():
            signal.signal(number, known)


def handle(
    numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], None]
) -> dict[signal.Signals, Handler]:
    """Handle signals in another way from now on; ignored ones stay ignored.

    Returns:
        The handlers before, to put them back.
    """
    former: dict[signal.Signals, Handler] = {}
    for number in numbers:
        known = signal.getsignal(number)
        if known is not signal.SIG_IGN:
            former[number] = known
            signal.signal(number, handler)
    return former


class Interrupts:
    """Ctrl-C, `kill` and a closed terminal while a command only waits: queued, and not raised.

    The main thread uses it, as a context. The command ends after that, so a terminal that is closed
    then is no interrupt any more.
    """

    def __init__(self) -> None:
        # The signals that have come. `SimpleQueue.put` may interrupt itself:
        # https://docs.python.org/3/library/queue.html#queue.SimpleQueue.put
        self._queue: queue.SimpleQueue[signal.Signals] = queue.SimpleQueue()
        # A pipe with a byte for each wake. The writing end is None when the pipe is closed.
        self._wakes, wake = os.pipe()
        self._wake: int | None = wake
        os.set_blocking(wake, False)
        # Whether they are raised now.
        self._is_raised = False
        # The last one that was raised.
        self.last = signal.SIGINT
        # Whether one has come.
        self._has_come = False
        self._handlers = _handled((signal.SIGINT, signal.SIGTERM), self._take)

    def __enter__(self) -> Self:
        self._handlers.__enter__()
        # It stays after the context, and then only drops the signal.
        handle((signal.SIGHUP,), self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handlers.__exit__(kind, error, trace)
        wake, self._wake = self._wake, None
        if wake is not None:
            os.close(wake)
            os.close(self._wakes)

    def wait(self, seconds: float, file: int | None = None) -> signal.Signals | None:
        """Wait for the next signal; None where none comes in this time.

        Args:
            seconds: how long it waits.
            file: a file descriptor; the wait also ends when something can be read there.
        """
        files = [self._wakes]
        if file is not None:
            files.append(file)
        if self._queue.empty():
            ready, _, _ = select.select(files, [], [], seconds)
            if self._wakes in ready:
                os.read(self._wakes, _PIPE_BYTES)
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return None

    def wake(self) -> None:
        """End a wait. The handler of another signal may call it."""
        if self._wake is not None:
            # A full pipe wakes, too.
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake, b"\0")

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Let signals raise KeyboardInterrupt while the context lasts; `last` tells which one."""
        self._is_raised = True
        try:
            yield
        finally:
            self._is_raised = False

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self._has_come and number == signal.SIGHUP:
            return
        self._has_come = True
        if self._is_raised:
            self.last = signal.Signals(number)
            raise KeyboardInterrupt
        self._queue.put(signal.Signals(number))
        self.wake()


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """Interrupt what runs in the context when this time is over."""
    timer = threading.Timer(seconds, _interrupt_this_process)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def options_of(config: Config) -> str:
    """Return the options that another command needs for the same stage."""
    options = f"--stage {config.stage}"
    if config.sandbox:
        options += " --sandbox"
    if config.allow_protected:
        options += " --allow-protected"
    for stack in config.terraform.stack:
        options += f" --stack {shlex.quote(stack)}"
    if config.terraform.arguments:
        options += f" -- {shlex.join(shown_arguments(config.terraform.arguments))}"
    return options


def interrupted(command: str, config: Config, *, sandbox_runs: bool) -> Stopped:
    """Return the event of an interrupted command: what it leaves, and what to type next.

    Args:
        command: name of the command.
        config: the configuration.
        sandbox_runs: true if the stage's sandbox still runs, after a command with `--sandbox`.
    """
    # The sandbox of `start --sandbox` ends with its command, and with it everything deployed.
    if config.sandbox and not sandbox_runs:
        return Stopped(
            stage=config.stage,
            live=False,
            message="Interrupted. The sandbox has stopped, and everything in it is deleted.",
        )
    options = options_of(config)
    is_deploying = command in _DEPLOYING
    message = "Interrupted. Nothing was changed."
    if is_deploying:
        message = (
            f"Interrupted. Everything that was deployed of stage {config.stage} stays, and "
            f"Terraform's state contains it. `terralive {command} {options}` continues, and "
            f"`terralive destroy {options}` removes it."
        )
    elif command in _UNDOING:
        message = (
            f"Interrupted. A part of the work may be done. `terralive {command} {options}` does "
            "the rest."
        )
    elif command in _CALLING:
        message = (
            "Interrupted. Nobody waits for the answer any more. A function that was invoked in "
            "Lambda runs on to its end."
        )
    elif command in _CLEANING:
        message = (
            "Interrupted. Debug stacks that were removed stay removed, and a part of the work on "
            "one more may be done. The same command does the rest."
        )
    return Stopped(stage=config.stage, live=is_deploying, message=message)

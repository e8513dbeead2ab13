"""How a command is ended from outside, and what a user is told then.

Ctrl-C, a `kill` and a closed terminal are one thing: a KeyboardInterrupt, so that every `finally`
runs, Terraform is asked to stop and is waited for, and no child stays. What is said afterwards
never claims more than is known.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.output.events import Stopped

_KINDS: Final = (signal.SIGTERM, signal.SIGHUP)
_DEPLOYING: Final = ("start", "apply")
_UNDOING: Final = ("restore", "destroy")


@contextmanager
def of_every_kind() -> Iterator[None]:
    """Make a closed terminal and a `kill` what Ctrl-C is; `nohup` stays what it is."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _KINDS}
    taken = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


def told(command: str, config: Config, *, sandbox_runs: bool) -> Stopped:
    """Say what an interrupted command leaves, and what to type next.

    Args:
        command: its name.
        config: the configuration.
        sandbox_runs: whether the stage's sandbox is still there, after a command with `--sandbox`.
    """
    if config.sandbox and not sandbox_runs:
        return Stopped(
            stage=config.stage,
            live=False,
            message="Interrupted. The sandbox and everything in it is gone.",
        )
    options = f"--stage {config.stage}{' --sandbox' if config.sandbox else ''}"
    if command in _DEPLOYING:
        message = (
            f"Interrupted. What was deployed of stage {config.stage} so far stays, and Terraform's state knows it: "
            f"`terralive {command} {options}` goes on; `terralive destroy {options}` takes it back."
        )
    elif command in _UNDOING:
        message = (
            f"Interrupted. Part of it may be done: `terralive {command} {options}` does the rest."
        )
    else:
        message = "Interrupted. Nothing was changed."
    return Stopped(stage=config.stage, live=command in _DEPLOYING, message=message)

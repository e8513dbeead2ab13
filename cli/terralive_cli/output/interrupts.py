"""Interruption of a command from outside, and the message to the user afterwards.

Ctrl-C, `kill` and a closed terminal all raise KeyboardInterrupt, so that every `finally` runs,
Terraform is asked to stop and is waited for, and no child process stays. The message never claims
more than is known.
"""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.output.events import Stopped
from terralive_terraform.runs.arguments import shown_arguments

# A `kill`, and a closed terminal. Python itself handles Ctrl-C.
_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)
_DEPLOYING: Final = ("start", "apply")
_UNDOING: Final = ("restore", "destroy")


@contextmanager
def as_keyboard_interrupt() -> Iterator[None]:
    """Turn `kill` and a closed terminal into KeyboardInterrupt.

    A signal that is ignored stays ignored, as with `nohup`.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # Handlers before, to put them back at the end.
    former = {}
    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if handler is not signal.SIG_IGN:
            former[number] = handler
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


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
    return Stopped(stage=config.stage, live=is_deploying, message=message)

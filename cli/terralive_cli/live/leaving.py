"""The end of a `start`: whether the functions are restored, and what the user is told. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from terralive_cli.configuration.values import OnExit
from terralive_cli.output.formats.words import plural, span

# A plan takes about 10 s. The AWS provider updates functions with local zips one after the other;
# 20 functions have taken 104 s.
_PLAN_SECONDS: Final = 10
_FUNCTION_SECONDS: Final = 5
_RESTORE: Final = ("", "r", "restore")
_KEEP: Final = ("k", "keep")


class Leave(Enum):
    """An answer to the question at the end of a start."""

    ASK = auto()
    RESTORE = auto()
    KEEP = auto()


@dataclass(frozen=True, slots=True)
class Kept:
    """The functions that keep their stub at the end of a start.

    Attributes:
        number: how many there are.
        answered: for how many of them the deployed code answers while nobody is connected.
    """

    number: int
    answered: int = 0

    @property
    def meaning(self) -> str:
        """The consequence for their invocations, as a main clause."""
        if self.answered >= self.number:
            return "the deployed code answers their invocations until somebody connects"
        if not self.answered:
            return "their invocations fail until somebody connects"
        return (
            f"the deployed code answers the invocations of {self.answered} of them, and those of "
            f"the other {self.number - self.answered} fail, until somebody connects"
        )


def decide(on_exit: OnExit | None, number: signal.Signals, *, can_ask: bool) -> Leave:
    """Decide what happens when a signal ends a start.

    Only Ctrl-C is a person's. `kill` and a closed terminal ask nobody.

    Args:
        on_exit: the setting; None for none.
        number: the signal.
        can_ask: whether a person can answer a question.
    """
    if on_exit is OnExit.RESTORE:
        return Leave.RESTORE
    if on_exit is OnExit.KEEP or number != signal.SIGINT or not can_ask:
        return Leave.KEEP
    return Leave.ASK


def explanation(kept: Kept) -> str:
    """Return what it means to keep the stubs, and what a second Ctrl-C does."""
    return (
        f"A restore puts back the functions' own code. If you keep the stubs, {kept.meaning}. "
        "Another Ctrl-C keeps them and ends at once."
    )


def question(kept: Kept) -> str:
    """Return the question at the first Ctrl-C."""
    seconds = _PLAN_SECONDS + _FUNCTION_SECONDS * kept.number
    functions = plural(kept.number, "function")
    return f"Restore {functions} now (about {span(seconds)})? [R]estore / [k]eep the stubs:"


def answered(text: str | None) -> Leave:
    """Return what an answer to the question means; `ASK` where it means nothing.

    Args:
        text: the answer; None where the input has ended.
    """
    if text is None or text.lower() in _KEEP:
        return Leave.KEEP
    if text.lower() in _RESTORE:
        return Leave.RESTORE
    return Leave.ASK


def all_replaced_message(stage: str, options: str) -> str:
    """Return what the end of a start says where other code has replaced every stub meanwhile."""
    return (
        f"No function of stage {stage} has its stub any more: other code was deployed meanwhile, "
        f"or the function was removed. `terralive start {options}` makes functions live again."
    )


def last_message(stage: str, options: str, kept: Kept, *, is_partial: bool = False) -> str:
    """Return what stays at the end of a start, and what to type next.

    Args:
        stage: the stage's name.
        options: the options that another command needs for the same stage.
        kept: the functions that keep their stub.
        is_partial: whether a restore has begun and has not ended well.
    """
    if is_partial:
        return (
            f"The restore of stage {stage} is not complete. `terralive restore {options}` does the "
            f"rest. While functions keep their stub, {kept.meaning}."
        )
    verb = "keeps its" if kept.number == 1 else "keep their"
    return (
        f"{plural(kept.number, 'function')} of stage {stage} {verb} stub: {kept.meaning}. "
        f"`terralive start {options}` connects again, and `terralive restore {options}` puts back "
        "the functions' own code."
    )

"""Decides which debug stacks a cleanup removes. Pure.

A debug stack stays where anything is uncertain, and the plan gives the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from terralive_cli.output.formats.words import listed
from terralive_cli.protection.production import Name, signs_of_production
from terralive_cli.stages.ages import short_age
from terralive_cli.stages.events import CleanupAction, CleanupItem, Connection, ListedStack
from terralive_terraform.addresses import matches
from terralive_terraform.substitution.marker import StageName

_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class CleanupWish:
    """The user's wish: the debug stacks to remove, and those to keep.

    Attributes:
        older_than_s: the seconds for which nobody was connected.
        app: the app of this project: a pattern without an app matches its stages only. "" outside
            of a project: such a pattern matches stages of all apps.
        matched: patterns of stages, or of `APP/STAGE`; () for all.
        kept: patterns of stages, or of `APP/STAGE`, that are kept.
        protected: patterns of protected stages.
        production_words: words that mean production; () in the sandbox, where nothing is real.
    """

    older_than_s: int
    app: str = ""
    matched: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    production_words: tuple[str, ...] = ()

    def names(self, stage: StageName) -> bool:
        """Tell whether a debug stack is one of those that the user has named."""
        is_own = self.app in ("", stage.app)
        if not self.matched:
            return is_own
        named = [pattern for pattern in self.matched if is_own or "/" in pattern]
        return _is_named(stage, named)

    def kept_because(self, stack: ListedStack) -> str:
        """Return why a debug stack is kept, whatever is live; "" where it may be removed."""
        if _is_named(StageName(stack.app, stack.stage), self.kept):
            return "--except keeps it"
        for pattern in self.protected:
            if matches(pattern, stack.stage):
                return f'the stage is protected (by "{pattern}")'
        names = [Name("app", stack.app), Name("stage", stack.stage, is_environment=True)]
        return _looks_like_production(names, self.production_words) or self._in_use(stack)

    def _in_use(self, stack: ListedStack) -> str:
        match stack.connection:
            case Connection.CONNECTED:
                return f"{stack.holder} on {stack.machine} is connected"
            case Connection.LOST:
                return f"{stack.holder} on {stack.machine} was connected a moment ago"
            case Connection.UNKNOWN:
                return f"nobody knows whether it is in use: {stack.note}"
        if not stack.used:
            return "nobody knows when it was used or created"
        if stack.idle_s < self.older_than_s:
            return f"it was used {short_age(stack.idle_s)} ago"
        return ""

    def left_because(self, functions: Sequence[str], blocked: Sequence[str]) -> str:
        """Return why a debug stack is left that is old enough; "" where it is removed.

        Args:
            functions: the names of the functions whose own code would be put back.
            blocked: reasons why terralive cannot put back what is live.
        """
        if blocked:
            return f"its functions cannot be put back: {'; '.join(blocked)}"
        names = [Name("function", name) for name in functions]
        return _looks_like_production(names, self.production_words)


def kept_item(stack: ListedStack, reason: str) -> CleanupItem:
    """Return a debug stack that is kept, as the plan of a cleanup shows it."""
    return _item(stack, CleanupAction.KEEP, reason)


def candidate_item(stack: ListedStack, reason: str, restores: tuple[str, ...]) -> CleanupItem:
    """Return a debug stack that is old enough, as the plan of a cleanup shows it.

    Args:
        stack: the debug stack.
        reason: why it is left; "" where it is removed.
        restores: the names of the functions whose own code is put back.
    """
    if reason:
        return _item(stack, CleanupAction.LEFT, reason)
    return _item(stack, CleanupAction.REMOVE, "", restores)


def _item(
    stack: ListedStack, action: CleanupAction, reason: str, restores: tuple[str, ...] = ()
) -> CleanupItem:
    return CleanupItem(
        app=stack.app,
        stage=stack.stage,
        owner=stack.owner,
        idle_s=stack.idle_s,
        action=action,
        reason=reason,
        restores=restores,
    )


def _is_named(stage: StageName, patterns: Sequence[str]) -> bool:
    for pattern in patterns:
        name = stage.stage
        if "/" in pattern:
            name = str(stage)
        if matches(pattern, name):
            return True
    return False


def _looks_like_production(names: Sequence[Name], words: Sequence[str]) -> str:
    signs = signs_of_production(names, words)
    if not signs:
        return ""
    return f"it looks like production: {listed([str(sign) for sign in signs], _SHOWN)}"

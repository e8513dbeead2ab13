"""The keys of the live view, also while a filter is typed. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

_ESCAPE: Final = "\x1b"
_ENTER: Final = ("\r", "\n")
_BACKSPACE: Final = ("\x7f", "\x08")
_DELETE_LINE: Final = "\x15"  # Ctrl-U
# Keys without a letter (arrows, F1) send a sequence that begins with Escape:
# https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
_KEY: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO.|.", re.DOTALL)
_LONGEST: Final = 60
# More letters than this in one read are pasted, not pressed.
_AT_ONCE: Final = 3


class Action(Enum):
    """Action of a key beside a change of the view. Its value is the key."""

    RESTART = "r"
    APPLY = "a"
    CLEAR = "c"
    LEAVE = "q"


_FILTER: Final = "f"
_HELP: Final = "?"
_ACTIONS: Final = {action.value: action for action in Action}


@dataclass(frozen=True, slots=True)
class Shown:
    """The part of the view that keys change.

    Attributes:
        filter: text that the events of the stream must contain; "" for none.
        is_typing: whether the user types the filter.
        lists_keys: whether the footer lists the keys.
    """

    filter: str = ""
    is_typing: bool = False
    lists_keys: bool = False


def keys_in(text: str) -> list[str]:
    """Return the keys of what a terminal has sent: letters, and one sequence for other keys."""
    return _KEY.findall(text)


def meant_keys(shown: Shown, text: str) -> list[str]:
    """Return the keys that the user means, of what a terminal has sent at once.

    A text that was pasted into the wrong window comes at once. None of its letters may restart
    workers, apply changes or leave. Into a filter its first line is pasted.
    """
    keys = keys_in(text)
    letters = [key for key in keys if len(key) == 1 and key.isprintable()]
    if len(letters) <= _AT_ONCE:
        return keys
    if not shown.is_typing and keys[0].lower() != _FILTER:
        return []
    for number, key in enumerate(keys):
        if key in _ENTER:
            return keys[: number + 1]
    return keys


def pressed(shown: Shown, key: str) -> tuple[Shown, Action | None]:
    """Return the view after a key, and the action of the key if it has one."""
    if shown.is_typing:
        return _typed(shown, key), None
    if key == _HELP:
        return replace(shown, lists_keys=not shown.lists_keys), None
    if key == _ESCAPE:
        return Shown(), None
    name = key.lower()
    if name == _FILTER:
        return replace(shown, is_typing=True, lists_keys=False), None
    if name in _ACTIONS:
        return replace(shown, lists_keys=False), _ACTIONS[name]
    return shown, None


def _typed(shown: Shown, key: str) -> Shown:
    """Return the view after a key of the filter."""
    if key == _ESCAPE:
        return Shown()
    if key in _ENTER:
        return replace(shown, is_typing=False)
    if key in _BACKSPACE:
        return replace(shown, filter=shown.filter[:-1])
    if key == _DELETE_LINE:
        return replace(shown, filter="")
    if key.isprintable() and len(key) == 1 and len(shown.filter) < _LONGEST:
        return replace(shown, filter=shown.filter + key)
    return shown

"""Faults on demand, pure: which rule, if any, meets a message or an invocation. The time stays outside.

A rule is about messages of WebSocket APIs or, where it names a function, about invocations of that
function. It acts on all of them or on the next few only.
Nothing here delays, drops or fails anything: `Fate` and `Kind` say what whoever asks has to do, on
    the event loop.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import UnionType
from typing import Any, TypeAlias


class Kind(StrEnum):
    """What a rule does.

    The first four are for messages, the last two for invocations of functions.
    """

    DELAY = "delay"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    DROP = "drop"
    FAIL = "fail"
    THROTTLE = "throttle"


_OF_FUNCTIONS = {Kind.FAIL, Kind.THROTTLE}
FAILURE = json.dumps(
    {
        "errorMessage": "A fault rule of the sandbox made this invocation fail; the function was not run.",
        "errorType": "Sandbox.FaultInjected",
    }
).encode()
"""What a function that is made to fail answers."""


class Direction(StrEnum):
    """Where a message goes: `in` from a client to its integration, `out` to a client."""

    IN = "in"
    OUT = "out"


class InvalidRuleError(ValueError):
    """A rule that makes no sense; the text says what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """One rule.

    Attributes:
        kind: what happens. `delay`: a message comes `seconds` later. `duplicate`: twice. `reorder`:
            after the next one of its connection, or after `seconds` if none comes. `drop`: never,
            and nobody is told. `fail`: the function ends in an error without being run. `throttle`:
            Lambda answers 429 TooManyRequestsException.
        function: the functions that it is about, by name or glob; only with the last two kinds,
            which need it.
        api: the API that it is about, by id or glob.
        stage: the stage, by name or glob.
        direction: in, out, or both where it is None.
        times: after how many acts it is over; None is never.
        seconds: of `delay` and `reorder`.
    """

    kind: Kind
    function: str | None = None
    api: str = "*"
    stage: str = "*"
    direction: Direction | None = None
    times: int | None = None
    seconds: float = 1.0

    @classmethod
    def from_json(cls, text: bytes | str) -> FaultRule:
        """Read a JSON object of these attributes; what is left out or null has its default.

        Raises:
            InvalidRuleError: it is anything else.
        """
        value = _read(text, _RULE)
        if "kind" not in value:
            raise InvalidRuleError(f"`kind` is {_RULE['kind'][0]}.")
        kind = value["kind"] = Kind(value["kind"])
        if (kind in _OF_FUNCTIONS) != ("function" in value):
            needs = (
                "needs `function`"
                if kind in _OF_FUNCTIONS
                else "is about messages and takes no `function`"
            )
            raise InvalidRuleError(f"`{kind}` {needs}.")
        if kind in _OF_FUNCTIONS and value.keys() & {"api", "stage", "direction"}:
            raise InvalidRuleError(f"`{kind}` takes no `api`, `stage` or `direction`.")
        if "direction" in value:
            value["direction"] = Direction(value["direction"])
        return cls(**value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionChoice:
    """Some connections.

    Those of `connections` where that is given, of an API and stage by id, name or glob.
    """

    connections: list[str] | None = None
    api: str = "*"
    stage: str = "*"

    @classmethod
    def from_json(cls, text: bytes | str) -> ConnectionChoice:
        """Read a JSON object of these attributes, or nothing, which is every connection.

        Raises:
            InvalidRuleError: it is anything else.
        """
        return cls(**_read(text or "{}", _CHOICE))

    def includes(self, connection_id: str, api: str, stage: str) -> bool:
        named = self.connections is None or connection_id in self.connections
        return named and _matches(self.api, api) and _matches(self.stage, stage)


def _is_name(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object, kind: type | UnionType) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


# What each attribute is, in words and as a check.
_Table: TypeAlias = Mapping[str, tuple[str, Callable[[Any], bool]]]
_CHOICE: _Table = {
    "connections": (
        "a list of ids",
        lambda value: isinstance(value, list) and all(map(_is_name, value)),
    ),
    "api": ("an id or glob", _is_name),
    "stage": ("a name or glob", _is_name),
}
_RULE: _Table = {
    "kind": (f"one of {', '.join(Kind)}", lambda value: value in list(Kind)),
    "function": ("a name or glob", _is_name),
    "api": ("an id or glob", _is_name),
    "stage": ("a name or glob", _is_name),
    "direction": ("in or out", lambda value: value in list(Direction)),
    "times": ("a whole number from 1", lambda value: _is_number(value, int) and value >= 1),
    "seconds": (
        "a number from 0 to 3600",
        lambda value: _is_number(value, int | float) and 0 <= value <= 3600,  # noqa: PLR2004
    ),
}


def _read(text: bytes | str, table: _Table) -> dict[str, Any]:
    expected = f"The body is an object of {', '.join(f'{name} ({what})' for name, (what, _) in table.items())}."
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRuleError(expected) from error
    if not isinstance(value, dict) or not value.keys() <= table.keys():
        raise InvalidRuleError(expected)
    given = {name: item for name, item in value.items() if item is not None}
    for name, item in given.items():
        what, holds = table[name]
        if not holds(item):
            raise InvalidRuleError(f"`{name}` is {what}. {expected}")
    return given


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one message, as rules have it: by default it passes once, at once.

    Attributes:
        copies: how often it arrives; 0 is lost.
        delay: seconds until it arrives.
        held: at most these seconds it waits for the next message of its connection, to arrive after
            that.
    """

    copies: int = 1
    delay: float = 0.0
    held: float | None = None


PASSES = Fate()


@dataclass(eq=False, slots=True)
class _Entry:
    rule: FaultRule
    acts: int = 0

    def acts_now(self) -> bool:
        """Whether it has acts left; takes one."""
        if self.rule.times is not None and self.acts >= self.rule.times:
            return False
        self.acts += 1
        return True


class FaultRules:
    """The rules that are set."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._count = 0

    def set(self, rule: FaultRule) -> str:
        """Add a rule; its id."""
        self._count += 1
        self._entries[f"fault-{self._count}"] = _Entry(rule)
        return f"fault-{self._count}"

    def clear(self, rule_id: str | None = None) -> int:
        """Forget one rule, or all; how many they were."""
        gone = [name for name in self._entries if rule_id in {name, None}]
        for name in gone:
            del self._entries[name]
        return len(gone)

    def listed(self) -> list[dict[str, object]]:
        """Each rule with its id and how often it has acted, to be shown as JSON."""
        return [
            {"id": name, **asdict(entry.rule), "acts": entry.acts}
            for name, entry in self._entries.items()
        ]

    def on_message(self, direction: Direction, api: str, stage: str) -> Fate:
        """Every rule that meets the message takes part in its fate; ask once a message."""
        if not self._entries:  # the way of every message of a sandbox without faults
            return PASSES
        copies, delay, held = 1, 0.0, None
        for entry in self._entries.values():
            rule = entry.rule
            if rule.function is not None or rule.direction not in {None, direction}:
                continue
            if not (_matches(rule.api, api) and _matches(rule.stage, stage) and entry.acts_now()):
                continue
            match rule.kind:
                case Kind.DELAY:
                    delay += rule.seconds
                case Kind.DUPLICATE:
                    copies *= 2
                case Kind.REORDER:
                    held = max(rule.seconds, held or 0.0)
                case _:
                    copies = 0
        return Fate(copies, delay, held)

    def on_invoke(self, function_name: str) -> Kind | None:
        """`fail` or `throttle` if an invocation of this function meets it.

        Ask once an invocation or retry.
        """
        for entry in self._entries.values():
            rule = entry.rule
            if (
                rule.function is not None
                and _matches(rule.function, function_name)
                and entry.acts_now()
            ):
                return rule.kind
        return None


def _matches(pattern: str, name: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern)

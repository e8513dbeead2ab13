"""Faults on demand, pure: which rule, if any, meets a message or an invocation. Time and chance come in.

A rule is about messages of WebSocket APIs or, where it names a function, about invocations of that function. It acts by
chance (each rule draws from its own source, started from its seed, so a run can be repeated) or on the next few only.
Nothing here delays, drops or fails anything: `Fate` and `InvokeFault` say what whoever asks has to do.
"""

from __future__ import annotations

import fnmatch
import json
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum, StrEnum
from typing import TypeAlias

Chance: TypeAlias = Callable[[], float]
"""A number from 0 to below 1 at each call."""

_LONGEST_SECONDS = 3600.0
_MOST_RULES = 1000


class Kind(StrEnum):
    """What a rule does. The first five are for messages, the last three for invocations of functions."""

    DELAY = "delay"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    DROP = "drop"
    REFUSE = "refuse"
    FAIL = "fail"
    UNAVAILABLE = "unavailable"
    THROTTLE = "throttle"


_OF_FUNCTIONS = frozenset({Kind.FAIL, Kind.UNAVAILABLE, Kind.THROTTLE})


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
        kind: what happens. `delay`: a message comes `seconds` later. `duplicate`: twice. `reorder`: after the next one
            of its connection, or after `seconds` if none comes. `drop`: never, and nobody is told. `refuse`: as if
            throttled (in: the client is told `Too Many Requests`; out: the caller gets 429 LimitExceededException).
            `fail`: the function ends in an error without being run. `unavailable`: Lambda answers 500
            ServiceException. `throttle`: 429 TooManyRequestsException.
        function: the functions that it is about, by name or glob; only with the last three kinds, which need it.
        api: the API that it is about, by id or glob.
        stage: the stage, by name or glob.
        direction: in, out, or both where it is None.
        probability: how likely it acts, from 0 to 1.
        times: after how many acts it is over; None is never.
        seconds: of `delay` and `reorder`.
        seed: where its chance starts.
    """

    kind: Kind
    function: str | None = None
    api: str = "*"
    stage: str = "*"
    direction: Direction | None = None
    probability: float = 1.0
    times: int | None = None
    seconds: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InvalidRuleError."""
        for_functions = self.kind in _OF_FUNCTIONS
        if for_functions == (self.function is None):
            what = "needs `function`, a name or glob" if for_functions else "is about messages and takes no `function`"
            raise InvalidRuleError(f"`{self.kind.value}` {what}.")
        if for_functions and (self.api, self.stage, self.direction) != ("*", "*", None):
            raise InvalidRuleError(f"`{self.kind.value}` takes no `api`, `stage` or `direction`.")
        if not 0 <= self.probability <= 1:
            raise InvalidRuleError("`probability` is a number from 0 to 1.")
        if not (math.isfinite(self.seconds) and 0 <= self.seconds <= _LONGEST_SECONDS):
            raise InvalidRuleError(f"`seconds` is a number from 0 to {_LONGEST_SECONDS:.0f}.")
        if self.times is not None and self.times < 1:
            raise InvalidRuleError("`times` is a whole number from 1, or null.")

    @classmethod
    def from_json(cls, text: bytes | str) -> FaultRule:
        """Read the object that `to_json` writes; what is left out has its default.

        Raises:
            InvalidRuleError: it is anything else.
        """
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidRuleError(_expected()) from error
        if not isinstance(value, dict) or not value.keys() <= _TYPES.keys():
            raise InvalidRuleError(_expected())
        for name, found in value.items():
            accepted = _TYPES[name]
            if not isinstance(found, accepted) or isinstance(found, bool):
                raise InvalidRuleError(f"`{name}` has the wrong type. {_expected()}")
        try:
            direction = value.pop("direction", None)
            return cls(
                kind=Kind(value.pop("kind")), direction=None if direction is None else Direction(direction), **value
            )
        except InvalidRuleError:
            raise
        except (KeyError, ValueError) as error:
            raise InvalidRuleError(_expected()) from error

    def to_json(self) -> dict[str, object]:
        """The rule as a JSON object, without what is left at None."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: v.value if isinstance(v, Enum) else v for name, v in values.items() if v is not None}


_NONE = type(None)
_TYPES: Mapping[str, tuple[type, ...]] = {
    "kind": (str,), "function": (str, _NONE), "api": (str,), "stage": (str,), "direction": (str, _NONE),
    "probability": (int, float), "times": (int, _NONE), "seconds": (int, float), "seed": (int,),
}  # fmt: skip


def _expected() -> str:
    kinds = ", ".join(kind.value for kind in Kind)
    return (
        f'The body is {{"kind": one of {kinds}; and if wanted "function", "api", "stage" (names or globs), '
        '"direction" ("in" or "out"), "probability", "times", "seconds", "seed"}.'
    )


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one message, as rules have it: by default it passes once, at once.

    Attributes:
        copies: how often it arrives; 0 is lost.
        delay: seconds until it arrives.
        held: at most these seconds it waits for the next message of its connection, to arrive after that.
        refused: it is answered as if throttled.
    """

    copies: int = 1
    delay: float = 0.0
    held: float | None = None
    refused: bool = False

    @property
    def passes(self) -> bool:
        return self == PASSES


PASSES = Fate()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionChoice:
    """Some connections: those of `connections` where that is given, of an API and stage by id, name or glob."""

    connections: tuple[str, ...] | None = None
    api: str = "*"
    stage: str = "*"

    @classmethod
    def from_json(cls, text: bytes | str) -> ConnectionChoice:
        """Read the object that `to_json` writes, or nothing, which is every connection.

        Raises:
            InvalidRuleError: it is anything else.
        """
        expected = 'The body is empty or an object with "connections" ([id, …]), "api", "stage" (names or globs).'
        try:
            value = json.loads(text or "{}")
        except (ValueError, RecursionError) as error:
            raise InvalidRuleError(expected) from error
        if not isinstance(value, dict) or not value.keys() <= {"connections", "api", "stage"}:
            raise InvalidRuleError(expected)
        ids = value.get("connections")
        names = (value.get("api", "*"), value.get("stage", "*"), *(ids if isinstance(ids, list) else ()))
        if not (ids is None or isinstance(ids, list)) or not all(isinstance(name, str) for name in names):
            raise InvalidRuleError(expected)
        return cls(connections=None if ids is None else tuple(ids), api=names[0], stage=names[1])

    def to_json(self) -> dict[str, object]:
        chosen = {} if self.connections is None else {"connections": list(self.connections)}
        return {**chosen, "api": self.api, "stage": self.stage}

    @property
    def is_everything(self) -> bool:
        return self == ConnectionChoice()

    def includes(self, connection_id: str, api: str, stage: str) -> bool:
        named = self.connections is None or connection_id in self.connections
        return named and _matches(self.api, api) and _matches(self.stage, stage)


@dataclass(frozen=True, slots=True)
class InvokeFault:
    """An invocation that is not to run.

    Either the function seems to have failed (`is_function_error`, `body` is the error document of its answer), or
    Lambda refuses it (`status`, `code`, `message`).
    """

    kind: Kind

    @property
    def is_function_error(self) -> bool:
        return self.kind is Kind.FAIL

    @property
    def status(self) -> int:
        return 429 if self.kind is Kind.THROTTLE else 500

    @property
    def code(self) -> str:
        return "TooManyRequestsException" if self.kind is Kind.THROTTLE else "ServiceException"

    @property
    def message(self) -> str:
        return "Rate Exceeded." if self.kind is Kind.THROTTLE else "A fault rule of the sandbox says so."

    @property
    def body(self) -> bytes:
        text = "A fault rule of the sandbox made this invocation fail; the function was not run."
        return json.dumps({"errorMessage": text, "errorType": "Sandbox.FaultInjected"}).encode()


@dataclass(eq=False, slots=True)
class _Entry:
    rule: FaultRule
    chance: Chance = field(repr=False)
    acts: int = 0

    def meets(self) -> bool:
        """Whether it acts now; a draw, so ask once a message."""
        if self.rule.times is not None and self.acts >= self.rule.times:
            return False
        if self.chance() >= self.rule.probability:
            return False
        self.acts += 1
        return True


@dataclass(frozen=True, slots=True)
class Listed:
    """A rule that is set, with its id and how often it has acted."""

    id: str
    rule: FaultRule
    acts: int


class FaultRules:
    """The rules that are set. May be asked from any thread.

    Args:
        chance: starts a source of chance from a seed.
    """

    def __init__(self, chance: Callable[[int], Chance]) -> None:
        self._start = chance
        # Guards the two below it, and what their entries count.
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._count = 0

    def set(self, rule: FaultRule) -> str:
        """Add a rule; its id.

        Raises:
            InvalidRuleError: there are too many.
        """
        with self._lock:
            if len(self._entries) >= _MOST_RULES:
                raise InvalidRuleError(f"There are {_MOST_RULES} rules already; clear some.")
            self._count += 1
            self._entries[f"fault-{self._count}"] = _Entry(rule, self._start(rule.seed))
            return f"fault-{self._count}"

    def clear(self, rule_id: str | None = None) -> int:
        """Forget one rule, or all; how many they were."""
        with self._lock:
            if rule_id is not None:
                return 0 if self._entries.pop(rule_id, None) is None else 1
            count = len(self._entries)
            self._entries.clear()
            return count

    def listed(self) -> tuple[Listed, ...]:
        with self._lock:
            return tuple(Listed(name, entry.rule, entry.acts) for name, entry in self._entries.items())

    def on_message(self, direction: Direction, api: str, stage: str) -> Fate:
        """Every rule that meets the message takes part in its fate; ask once a message."""
        if not self._entries:  # the way of every message of a sandbox without faults
            return PASSES
        copies, delay, held, refused = 1, 0.0, None, False
        with self._lock:
            for entry in self._entries.values():
                rule = entry.rule
                if rule.function is not None or rule.direction not in {None, direction}:
                    continue
                if not (_matches(rule.api, api) and _matches(rule.stage, stage) and entry.meets()):
                    continue
                match rule.kind:
                    case Kind.DELAY:
                        delay += rule.seconds
                    case Kind.DUPLICATE:
                        copies *= 2
                    case Kind.REORDER:
                        held = max(rule.seconds, held or 0.0)
                    case Kind.DROP:
                        copies = 0
                    case _:
                        refused = True
        return Fate(copies, delay, held, refused)

    def on_invoke(self, function_name: str) -> InvokeFault | None:
        """The fault that an invocation of this function meets, if any; ask once an invocation, also once a retry."""
        if not self._entries:
            return None
        with self._lock:
            for entry in self._entries.values():
                rule = entry.rule
                if rule.function is not None and _matches(rule.function, function_name) and entry.meets():
                    return InvokeFault(rule.kind)
        return None


def _matches(pattern: str, name: str) -> bool:
    return pattern == name or fnmatch.fnmatchcase(name, pattern)

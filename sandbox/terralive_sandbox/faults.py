"""Faults on demand: rules, and which of them apply to a message or an invocation. No I/O, no clock.

A rule is about messages of WebSocket APIs or, if it names a function, about invocations of that
function. It acts on all of them or on the next few only.
Nothing here delays, drops or fails anything: callers do what `MessageFault` and `FaultKind` say.
Use all of it on the event loop.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final

from terralive_stub.shared.json_documents import parse_object

_MAX_SECONDS: Final = 3600


class FaultKind(StrEnum):
    """The effect of a rule.

    The first four are for messages, the last two for invocations of functions.
    """

    DELAY = "delay"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    DROP = "drop"
    FAIL = "fail"
    THROTTLE = "throttle"


_INVOCATION_KINDS: Final = frozenset({FaultKind.FAIL, FaultKind.THROTTLE})
# The result of a function that is made to fail.
FAILURE: Final = json.dumps(
    {
        "errorMessage": "A fault rule of the sandbox made this invocation fail; "
        "the function was not run.",
        "errorType": "Sandbox.FaultInjected",
    }
).encode()


class Direction(StrEnum):
    """The direction of a message: `in` from a client to its integration, `out` to a client."""

    IN = "in"
    OUT = "out"


class InvalidRuleError(ValueError):
    """A rule that is not possible. The text says what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """One rule.

    Attributes:
        kind: what happens. `delay`: a message arrives `seconds` later. `duplicate`: it arrives
            twice. `reorder`: it arrives after the next one of its connection, or after `seconds` if
            none comes. `drop`: it never arrives, and no error is reported. `fail`: the function
            ends in an error without being run. `throttle`: Lambda answers 429
            TooManyRequestsException.
        function: the functions that the rule is about, by name or glob; the last two kinds need it,
            the others do not take it.
        api: the API that the rule is about, by id or glob.
        stage: the stage, by name or glob.
        direction: in, out, or both if it is None.
        times: the number of messages or invocations that the rule acts on; None: all.
        seconds: the time of `delay` and `reorder`.
    """

    kind: FaultKind
    function: str | None = None
    api: str = "*"
    stage: str = "*"
    direction: Direction | None = None
    times: int | None = None
    seconds: float = 1.0

    @classmethod
    def from_json(cls, text: bytes | str) -> FaultRule:
        """Read a JSON object of these attributes. One that is missing or null has its default.

        Raises:
            InvalidRuleError: it is anything else.
        """
        values = _read(text, _RULE_FIELDS)
        if "kind" not in values:
            raise InvalidRuleError(f"`kind` is {_RULE_FIELDS['kind'].description}.")
        kind = FaultKind(values["kind"])
        values["kind"] = kind
        if kind in _INVOCATION_KINDS:
            if "function" not in values:
                raise InvalidRuleError(f"`{kind}` needs `function`.")
            if values.keys() & {"api", "stage", "direction"}:
                raise InvalidRuleError(f"`{kind}` takes no `api`, `stage` or `direction`.")
        elif "function" in values:
            raise InvalidRuleError(f"`{kind}` is about messages and takes no `function`.")
        if "direction" in values:
            values["direction"] = Direction(values["direction"])
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionChoice:
    """A choice of connections: those in `connections` (None: all) of the given APIs and stages."""

    # Ids of connections
    connections: list[str] | None = None
    # An id or glob
    api: str = "*"
    # A name or glob
    stage: str = "*"

    @classmethod
    def from_json(cls, text: bytes | str) -> ConnectionChoice:
        """Read a JSON object of these attributes, or nothing, which chooses every connection.

        Raises:
            InvalidRuleError: it is anything else.
        """
        return cls(**_read(text or "{}", _CHOICE_FIELDS))

    def includes(self, connection_id: str, api: str, stage: str) -> bool:
        """Return whether the choice includes a connection."""
        if self.connections is not None and connection_id not in self.connections:
            return False
        return fnmatchcase(api, self.api) and fnmatchcase(stage, self.stage)


def executions_from_json(text: bytes | str) -> int:
    """Read the number of executions of Lambda that other functions are to occupy.

    Raises:
        InvalidRuleError: it is not `{"executions": NUMBER}`.
    """
    executions = parse_object(text).get("executions")
    if type(executions) is not int or executions < 0:
        raise InvalidRuleError("`executions` is a number of executions, 0 for none.")
    return executions


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_positive_integer(value: object) -> bool:
    # bool is a subclass of int
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_time(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= _MAX_SECONDS


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a request: what it is, in words and as a check."""

    description: str
    is_valid: Callable[[object], bool]


_CHOICE_FIELDS: Final = {
    "connections": _Field("a list of ids", _is_list_of_texts),
    "api": _Field("an id or glob", _is_text),
    "stage": _Field("a name or glob", _is_text),
}
_RULE_FIELDS: Final = {
    "kind": _Field(f"one of {', '.join(FaultKind)}", lambda value: value in list(FaultKind)),
    "function": _Field("a name or glob", _is_text),
    "api": _Field("an id or glob", _is_text),
    "stage": _Field("a name or glob", _is_text),
    "direction": _Field("in or out", lambda value: value in list(Direction)),
    "times": _Field("a whole number from 1", _is_positive_integer),
    "seconds": _Field(f"a number from 0 to {_MAX_SECONDS}", _is_time),
}


def _read(text: bytes | str, fields: Mapping[str, _Field]) -> dict[str, Any]:
    """Read a JSON object of known fields, without those that are null. Raises InvalidRuleError."""
    descriptions = [f"{name} ({field.description})" for name, field in fields.items()]
    expected = f"The body is an object of {', '.join(descriptions)}."
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRuleError(expected) from error
    if not isinstance(values, dict) or not values.keys() <= fields.keys():
        raise InvalidRuleError(expected)
    given: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        field = fields[name]
        if not field.is_valid(value):
            raise InvalidRuleError(f"`{name}` is {field.description}. {expected}")
        given[name] = value
    return given


@dataclass(frozen=True, slots=True)
class MessageFault:
    """The effect of all rules on one message. By default it arrives once, at once."""

    # How often the message arrives; 0: it is lost.
    copies: int = 1
    # Seconds until it arrives.
    delay: float = 0.0
    # If not None, it arrives after the next message of its connection, or after these seconds.
    held: float | None = None


NO_FAULT: Final = MessageFault()


@dataclass(eq=False, slots=True)
class _Entry:
    """One rule and the number of times that it has acted."""

    rule: FaultRule
    acts: int = 0

    def act(self) -> bool:
        """Count one act. Return False if the rule has acted as often as it may."""
        if self.rule.times is not None and self.acts >= self.rule.times:
            return False
        self.acts += 1
        return True


class FaultRules:
    """The rules that are set."""

    def __init__(self) -> None:
        # The rules by their ids, the oldest first.
        self._entries: dict[str, _Entry] = {}
        # The number of rules that were ever set; the last id has it.
        self._count = 0

    def set(self, rule: FaultRule) -> str:
        """Add a rule and return its id."""
        self._count += 1
        rule_id = f"fault-{self._count}"
        self._entries[rule_id] = _Entry(rule)
        return rule_id

    def clear(self, rule_id: str | None = None) -> int:
        """Remove one rule, or all; return the number of rules removed."""
        removed = [known for known in self._entries if rule_id in {known, None}]
        for known in removed:
            del self._entries[known]
        return len(removed)

    def listed(self) -> list[dict[str, object]]:
        """Return each rule with its id and the number of its acts, as JSON values."""
        return [
            {"id": rule_id, **asdict(entry.rule), "acts": entry.acts}
            for rule_id, entry in self._entries.items()
        ]

    def on_message(self, direction: Direction, api: str, stage: str) -> MessageFault:
        """Apply the rules to a message. Call it once for each message, as rules count their acts.

        Every rule that is about the message takes part in the result.
        """
        if not self._entries:  # the usual case
            return NO_FAULT
        copies = 1
        delay = 0.0
        held: float | None = None
        for entry in self._entries.values():
            rule = entry.rule
            if not _is_about_message(rule, direction, api, stage) or not entry.act():
                continue
            match rule.kind:
                case FaultKind.DELAY:
                    delay += rule.seconds
                case FaultKind.DUPLICATE:
                    copies *= 2
                case FaultKind.REORDER:
                    held = max(rule.seconds, held or 0.0)
                case _:
                    copies = 0
        return MessageFault(copies, delay, held)

    def on_invoke(self, function_name: str) -> FaultKind | None:
        """Return `fail` or `throttle` if a rule is about this invocation.

        Call it once for each invocation or retry, as rules count their acts.
        """
        for entry in self._entries.values():
            function = entry.rule.function
            if function is not None and fnmatchcase(function_name, function) and entry.act():
                return entry.rule.kind
        return None


def _is_about_message(rule: FaultRule, direction: Direction, api: str, stage: str) -> bool:
    if rule.function is not None or rule.direction not in {None, direction}:
        return False
    return fnmatchcase(api, rule.api) and fnmatchcase(stage, rule.stage)

"""The ledgers: records of handlers, callers and relays, and functions that read them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from terralive_testing.soak.handler import digest

LAMBDAS_TIMEOUT = "Sandbox.Timedout"
LATEST = "$LATEST"


class End(StrEnum):
    """The end of a call, as its caller saw it."""

    SUCCESS = "success"
    ERROR = "error"  # the function's, with an error type
    REFUSED = "refused"  # by Lambda's Invoke API; the error type is its code
    NONE = "no answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, as its caller saw it.

    Attributes:
        event: the event's digest.
        end, error_type, answer, ended: how and when it ended. For an asynchronous call these come
            from the record at its destination.
        asynchronous: whether it was invoked as an Event.
        log: the end of the function's log, for a timeout of Lambda.
    """

    id: str
    function: str
    event: str
    end: End
    error_type: str = ""
    answer: str = ""
    began: float = 0.0
    ended: float = 0.0
    asynchronous: bool = False
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a handler.

    Attributes:
        id: the request id. A fallback has one of its own.
        relay: the process id of the relay that it ran for; of the sandbox's for a fallback.
        error: the error type, "" for a success; None as long as it has not ended.
        version: the version of the function whose code ran: `$LATEST` in a relay.
    """

    id: str
    relay: int
    event: str
    began: float
    ended: float | None = None
    error: str | None = None
    answer: str = ""
    bytes: int = 0
    version: str = LATEST

    @property
    def is_fallback(self) -> bool:
        """Tell whether the deployed code ran, because no relay was connected."""
        return self.version != LATEST


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that a relay began: the request id, and the attempt's number."""

    id: str
    attempt: int = 1


@dataclass(slots=True, kw_only=True)
class Life:
    """One life of the relay, from its own events.

    Attributes:
        began: the attempts that it began.
        ended: the error type ("" for a success) of those that ended, by request id.
    """

    relay: int
    killed: bool
    began: list[Begun] = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)


def runs(lines: Iterable[str]) -> list[Run]:
    """Read the handlers' file.

    An end belongs to the last begin of its id and relay that has no end yet.
    """
    found: list[dict[str, Any]] = []
    open_: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for line in lines:
        said = json.loads(line)
        key = (said["id"], said["relay"])
        if said["what"] == "begin":
            run = {
                "id": said["id"],
                "relay": said["relay"],
                "event": said["event"],
                "began": said["at"],
                "version": said.get("version", LATEST),
            }
            found.append(run)
            open_.setdefault(key, []).append(run)
        else:
            run = open_[key].pop()
            run |= {"ended": said["at"], "error": said["error"]}
            run |= {name: said[name] for name in ("answer", "bytes") if name in said}
    return [Run(**run) for run in found]


def life(relay: int, events: Iterable[Mapping[str, Any]], *, killed: bool) -> Life:
    """Read the events of `terralive start --output json`."""
    made = Life(relay=relay, killed=killed)
    for event in events:
        if event["type"] == "invocation":
            made.began.append(Begun(event["request_id"], event["attempt"]))
        elif event["type"] == "result":
            error_type = ""
            if not event["ok"]:
                error_type = event["error_type"]
            made.ended[event["request_id"]] = error_type
    return made


def answered(call: Mapping[str, Any], *, failed: bool, payload: bytes, log: str = "") -> Call:
    """Complete a call with the answer of Lambda."""
    value = json.loads(payload)
    if failed:
        error_type = str(value.get("errorType", ""))
        if error_type != LAMBDAS_TIMEOUT:
            log = ""
        return Call(**call, end=End.ERROR, error_type=error_type, log=log)
    return Call(**call, end=End.SUCCESS, answer=digest(value))


def told(call: Call, record: Mapping[str, Any]) -> Call:
    """Complete an asynchronous call with the record at its destination.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    at = datetime.fromisoformat(record["timestamp"]).timestamp()
    if record["requestContext"]["condition"] == "Success":
        return replace(call, end=End.SUCCESS, ended=at, answer=digest(record["responsePayload"]))
    error_type = str(record.get("responsePayload", {}).get("errorType", ""))
    return replace(call, end=End.ERROR, ended=at, error_type=error_type)

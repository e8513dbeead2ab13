"""The events of `status`, `list` and `gc`, as `--output json` prints them.

Points in time are texts in RFC 3339 format; "" for one that is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from terralive_relay.events import Event


class Connection(StrEnum):
    """Connection of a stage's relay, as the lease tells."""

    CONNECTED = "connected"
    LOST = "lost"  # the connection is gone, and the relay may return
    LEFT = "left"  # it has disconnected, or was not heard of for a minute
    NEVER = "never"  # nobody was connected in the last 30 days
    UNKNOWN = "unknown"  # the lease cannot be read


class FunctionState(StrEnum):
    """State of a function that is live, or was."""

    LIVE = "live"
    OWN_CODE = "own-code"  # something has replaced the stub
    OTHER_STAGE = "other-stage"  # it is live for another stage
    GONE = "gone"  # there is no such function
    UNKNOWN = "unknown"  # it could not be looked at


class CleanupAction(StrEnum):
    """Action of a cleanup on a debug stack."""

    REMOVE = "remove"
    KEEP = "keep"  # the user has not named it, or it must not be changed
    LEFT = "left"  # the user has named it, and terralive cannot restore its functions


@dataclass(frozen=True, slots=True)
class StageFunction:
    """A function of a stage.

    Attributes:
        name: its name on AWS, with its region where that is not the stage's.
        arn: its ARN.
        state: its state.
        detail: more about its state; "" for nothing.
        differs: the settings in which it differs from the code and the configuration that the stub
            has replaced, by their names in Lambda (`Timeout`, `Environment`).
        fallback_version: the published version that has that code; "" for none.
        fallback_reason: why that version does not answer where nobody is connected; "" if it does,
            or where there is none.
    """

    name: str
    arn: str
    state: FunctionState
    detail: str = ""
    differs: tuple[str, ...] = ()
    fallback_version: str = ""
    fallback_reason: str = ""


@dataclass(frozen=True, slots=True)
class SessionHere:
    """A session of the stage that runs on this machine.

    Attributes:
        pid: its process id.
        since: the time at which it began.
        is_detached: whether it runs in the background.
    """

    pid: int
    since: str
    is_detached: bool


@dataclass(frozen=True, slots=True)
class StageStatus(Event):
    """Status of one stage.

    Attributes:
        app: the app's name.
        stage: the stage's name.
        place: the account and region, for a person.
        deployed: whether there is a debug stack.
        owner: the user who has deployed it first; "" where it has no description.
        created: the ISO date of that.
        version: the version of terralive that has deployed it last.
        connection: the connection of a relay.
        holder: the user of the relay that is connected, or was connected last; "" for none.
        machine: that user's machine.
        since: when that relay has connected.
        until: when it was connected last, if it is not connected.
        functions: the functions that are live or were live.
        session: the session that runs on this machine; None for none.
    """

    type = "status"
    app: str
    stage: str
    place: str
    deployed: bool
    owner: str = ""
    created: str = ""
    version: str = ""
    connection: Connection = Connection.NEVER
    holder: str = ""
    machine: str = ""
    since: str = ""
    until: str = ""
    functions: tuple[StageFunction, ...] = ()
    session: SessionHere | None = None


@dataclass(frozen=True, slots=True)
class ListedStack:
    """A debug stack in a list.

    Attributes:
        app: the app's name.
        stage: the stage's name.
        owner: the user who has deployed it first.
        source: the project that it was deployed from.
        version: the version of terralive that has deployed it.
        created: when it was created.
        age_s: seconds since then.
        used: when somebody was connected last; when it was created where nobody was.
        idle_s: seconds since then; 0 while somebody is connected.
        connection: the connection of a relay.
        holder: the user who is connected, or was connected last; "" for nobody.
        machine: that user's machine.
        live: the names of its live functions.
        cost: what it costs while nobody uses it, in words.
        note: a remark for a person; "" for none.
    """

    app: str
    stage: str
    owner: str
    source: str
    version: str
    created: str
    age_s: float
    used: str
    idle_s: float
    connection: Connection
    holder: str
    machine: str
    live: tuple[str, ...]
    cost: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class StacksListed(Event):
    """All debug stacks of an account and region.

    Attributes:
        place: the account and region, for a person.
        stacks: the debug stacks, by app and stage.
    """

    type = "stacks"
    place: str
    stacks: tuple[ListedStack, ...]


@dataclass(frozen=True, slots=True)
class CleanupItem:
    """A debug stack in the plan of a cleanup.

    Attributes:
        app: the app's name.
        stage: the stage's name.
        owner: the user who has deployed it first.
        idle_s: seconds since somebody was connected last.
        action: what the cleanup does with it.
        reason: why it is kept or left; "" for one that is removed.
        restores: the names of the functions whose own code is put back.
    """

    app: str
    stage: str
    owner: str
    idle_s: float
    action: CleanupAction
    reason: str = ""
    restores: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CleanupPlanned(Event):
    """Plan of a cleanup.

    Attributes:
        place: the account and region, for a person.
        older_than_s: the age in seconds from which a debug stack is removed.
        stacks: the debug stacks that the patterns match.
        others: number of debug stacks that no pattern matches.
    """

    type = "cleanup"
    place: str
    older_than_s: int
    stacks: tuple[CleanupItem, ...]
    others: int = 0


@dataclass(frozen=True, slots=True)
class CleanupResult(Event):
    """The end of the cleanup of one debug stack.

    Attributes:
        app: the app's name.
        stage: the stage's name.
        removed: whether it is removed.
        restored: the names of the functions whose own code was put back.
        reason: why it is not removed; "" if it is.
    """

    type = "cleanup-result"
    app: str
    stage: str
    removed: bool
    restored: tuple[str, ...] = ()
    reason: str = ""

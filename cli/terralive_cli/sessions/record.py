"""The description of a session in its folder: what other commands may know of it. Pure.

It is written by the session alone. Nothing in it proves that the session still runs; see
`terralive_cli.sessions.folders`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from terralive_cli.configuration.values import OnExit
from terralive_stub.shared.json_documents import Json, number, parse_object, text
from terralive_stub.shared.timestamps import format_datetime

_ON_EXIT: Final = tuple(item.value for item in OnExit)


@dataclass(frozen=True, slots=True)
class Session:
    """One session of `terralive start`, which runs or has ended.

    Attributes:
        id: name of its folder.
        pid: process id, for a person to read. No command sends a signal to it.
        stage: name of the stage.
        is_sandbox: true if the stage is in the sandbox.
        user: name of the user, as in `terralive.toml`.
        since: time at which it began (UTC).
        is_detached: true if it runs, or was started to run, in the background.
        on_exit: its setting `on_exit`, `restore` or `keep`; "" for none.
        is_live: true if its functions have become live.
        functions: number of live functions that keep their stub at its end, unless they are
            restored; 0 before they are live, and in a sandbox that ends with the session.
        is_over: true if it has ended by itself, and was not cut off.
    """

    id: str
    pid: int
    stage: str
    is_sandbox: bool
    user: str
    since: datetime
    is_detached: bool = False
    on_exit: str = ""
    is_live: bool = False
    functions: int = 0
    is_over: bool = False


def written(session: Session) -> bytes:
    """Return the text of a session's file."""
    document: dict[str, Json] = {**asdict(session), "since": format_datetime(session.since)}
    return json.dumps(document, indent=2).encode()


def read(content: bytes) -> Session | None:
    """Return the session that a file describes; None for a file that nobody here has written."""
    document = parse_object(content)
    try:
        since = datetime.fromisoformat(text(document, "since"))
    except ValueError:
        return None
    name = text(document, "id")
    if not name or since.tzinfo is None:
        return None
    on_exit = text(document, "on_exit")
    if on_exit not in _ON_EXIT:
        on_exit = ""
    return Session(
        id=name,
        pid=int(number(document, "pid")),
        stage=text(document, "stage"),
        is_sandbox=document.get("is_sandbox") is True,
        user=text(document, "user"),
        since=since,
        is_detached=document.get("is_detached") is True,
        on_exit=on_exit,
        is_live=document.get("is_live") is True,
        functions=int(number(document, "functions")),
        is_over=document.get("is_over") is True,
    )

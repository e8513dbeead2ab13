"""Reads the event that the user has chosen, from wherever it is."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from terralive_cli.invoking.deployed import DeployedSettings, sources_of
from terralive_cli.invoking.event.choice import EventChoice, Source, checked, chosen, with_changes
from terralive_cli.invoking.event.kept import KeptEvent, kept_events, last_of, with_id
from terralive_cli.invoking.event.templates import TEMPLATES, event_of_template
from terralive_cli.invoking.event.triggers import Function, Sources, note_of, values_for
from terralive_cli.invoking.finding import KnownFunction
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui
from terralive_stub.errors import ConfigurationError

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient


@dataclass(frozen=True, slots=True)
class GivenEvent:
    """The event as the user gives it on the command line.

    Attributes:
        given: the value of `--event`; "" where it was not given.
        changes: values to change, as `PATH=VALUE`.
        asynchronous: whether it is for an asynchronous invocation.
        qualifier: the version or alias that is invoked; "" for `$LATEST`.
    """

    given: str = ""
    changes: tuple[str, ...] = ()
    asynchronous: bool = False
    qualifier: str = ""

    def read(
        self,
        function: KnownFunction,
        works: Sequence[Path],
        ui: Ui,
        *,
        client: LambdaClient | None,
        settings: DeployedSettings | None,
    ) -> bytes:
        """Return the event's bytes, which are JSON.

        Args:
            function: the function that it is for.
            works: the work folders of the stage.
            ui: shows a note on names in the event that are examples.
            client: Lambda, which knows what invokes the function; None where nobody is asked.
            settings: the function's settings; None if they are not known.

        Raises:
            ConfigurationError: there is no such event, or it is not JSON, or too large.
        """
        choice = chosen(self.given, is_file=Path(self.given).is_file())
        if choice.source is Source.TEMPLATE:
            sources = Sources()
            if client is not None and choice.name in TEMPLATES:
                sources = sources_of(client, function.arn, choice.name, self.qualifier)
            content = _of_template(choice.name, function, ui, sources, settings)
        else:
            content = _of_choice(choice, function, works)
        where = self.given or "{}"
        event = checked(content, where, asynchronous=self.asynchronous)
        if not self.changes:
            return event
        changed = with_changes(json.loads(event), self.changes)
        text = json.dumps(changed, ensure_ascii=False)
        return checked(text.encode(), where, asynchronous=self.asynchronous)


def _of_choice(choice: EventChoice, function: KnownFunction, works: Sequence[Path]) -> bytes:
    match choice.source:
        case Source.EMPTY:
            return b"{}"
        case Source.STANDARD_INPUT:
            return sys.stdin.buffer.read()
        case Source.LAST | Source.REQUEST:
            return _of_kept(choice, function, works).file.read_bytes()
        case _:
            return _of_file(Path(choice.name))


def _of_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        examples = ", ".join(f"@{name}" for name in TEMPLATES)
        raise ConfigurationError(
            "event-not-found",
            f"The event cannot be read: {path}: {error.strerror}.",
            hint=f"Name a file, `-` for standard input, or an example: {examples}.",
        ) from None


def _of_kept(choice: EventChoice, function: KnownFunction, works: Sequence[Path]) -> KeptEvent:
    kept = [event for work in works for event in kept_events(work)]
    kept.sort(key=lambda event: event.changed, reverse=True)
    if choice.source is Source.LAST:
        last = last_of(kept, function.shown_name)
        if last is not None:
            return last
        raise ConfigurationError(
            "event-not-kept",
            f"No event of {function.shown_name} is kept on this machine.",
            hint="`terralive start` keeps the last event of each function that it runs, unless "
            "`keep_events = false`. Invoke the function once while it runs.",
        )
    found = with_id(kept, choice.name)
    if len(found) == 1:
        return found[0]
    lines = "\n".join(f"{event.request_id}  ({event.function})" for event in found or kept)
    if found:
        message = f"Several events are kept whose id begins with {choice.name}:\n{lines}"
    elif kept:
        message = f"The event of {choice.name} is not kept. These are:\n{lines}"
    else:
        message = f"The event of {choice.name} is not kept, and no other one is."
    raise ConfigurationError(
        "event-not-kept",
        message,
        hint="`terralive start` keeps the last event of each function only.",
    )


def _of_template(
    name: str,
    function: KnownFunction,
    ui: Ui,
    sources: Sources,
    settings: DeployedSettings | None,
) -> bytes:
    role_arn = ""
    if settings is not None:
        role_arn = settings.role_arn
    about = Function(function.arn, role_arn)
    values = values_for(name, about, sources, datetime.now(UTC), str(uuid.uuid4()))
    event = event_of_template(name, values)
    note = note_of(name, sources)
    if note:
        ui.emit(Message(message=note))
    return json.dumps(event, ensure_ascii=False).encode()

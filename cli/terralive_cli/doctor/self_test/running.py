"""Commands of terralive that the self-test runs, each in a process of its own, as a user does.

Threads: `self-test-events` reads the events of a command, and ends with it.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import IO, Final, Protocol

from terralive_stub.errors import TerraliveError
from terralive_stub.shared.json_documents import Json, parse_object, text

_LAST_CHARACTERS: Final = 2000
# What the user has set for another project's Terraform.
_OF_ANOTHER_APP: Final = ("TF_VAR_", "TF_CLI_ARGS", "TF_WORKSPACE", "TF_DATA_DIR", "TF_REATTACH")
_KEPT: Final = ("TERRALIVE_PROVIDER_MIRROR", "TERRALIVE_LOG", "TERRALIVE_LOG_FILE")
Events = list[dict[str, Json]]


def environment_of(environ: Mapping[str, str], user: str, region: str) -> dict[str, str]:
    """Return the environment of a command, without what the user has set for another project.

    Args:
        environ: the environment of this process.
        user: name of the user, who owns the stage.
        region: the region. The shell or the AWS profile may name another one than the user's app.
    """
    kept: dict[str, str] = {}
    for name, value in environ.items():
        is_settings = name.startswith("TERRALIVE_") and name not in _KEPT
        if not is_settings and not name.startswith(_OF_ANOTHER_APP):
            kept[name] = value
    return {**kept, "TERRALIVE_USER": user, "AWS_REGION": region, "AWS_DEFAULT_REGION": region}


class Command(Protocol):
    """A command that runs or has ended; see `Running`."""

    @property
    def events(self) -> Events:
        """The events that have come so far."""

    def wait_for(self, kind: str, timeout_s: float, **fields: Json) -> dict[str, Json]:
        """Return the next event of a type with these fields."""

    def require_alive(self) -> None:
        """Check that it runs."""

    def interrupt(self) -> None:
        """Interrupt it, if it runs."""

    def finish(self, timeout_s: float) -> int | None:
        """Wait for its end, and return its exit code; None if it still runs then."""

    def kill(self) -> None:
        """End it, with all of its processes."""

    def failure(self) -> str:
        """Return its error, or else the end of its stderr."""


class Running:
    """A running command.

    Args:
        words: the words behind `terralive`.
        project: the project's folder.
        environment: its environment.

    Attributes:
        events: the events that have come so far.
    """

    def __init__(self, words: Sequence[str], project: Path, environment: Mapping[str, str]) -> None:
        self._name = words[0]
        self.events: Events = []
        # Events for `wait_for`; None at their end.
        self._fresh: queue.SimpleQueue[dict[str, Json] | None] = queue.SimpleQueue()
        # Its stderr, which a pipe would limit.
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "terralive_cli", "--output", "json", *words],
            cwd=project,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            # Ctrl-C in the terminal is for the self-test, which ends its commands one by one.
            start_new_session=True,
        )
        self._reader = Thread(target=self._read, name="self-test-events", daemon=True)
        self._reader.start()

    def wait_for(self, kind: str, timeout_s: float, **fields: Json) -> dict[str, Json]:
        """Return the next event of a type with these fields. Later calls do not see earlier events.

        Raises:
            TerraliveError: `self-test-failed`: the command has ended, or the time is over.
        """
        until = time.monotonic() + timeout_s
        while True:
            try:
                event = self._fresh.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                raise self._failed(f"`{kind}` did not come within {timeout_s:.0f} s") from None
            if event is None:
                raise self._failed(f"it ended before `{kind}`")
            if event.get("type") == kind and fields.items() <= event.items():
                return event

    def require_alive(self) -> None:
        """Check that it runs.

        Raises:
            TerraliveError: `self-test-failed`.
        """
        if self._process.poll() is not None:
            raise self._failed("it has ended")

    def interrupt(self) -> None:
        """Interrupt it, if it runs, as Ctrl-C does.

        SIGINT itself is ignored where the self-test is a background job of a script:
        https://pubs.opengroup.org/onlinepubs/9699919799/utilities/V3_chap02.html#tag_18_11
        """
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def finish(self, timeout_s: float) -> int | None:
        """Wait for its end, and return its exit code; None if it still runs then."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(timeout_s)
        return code

    def kill(self) -> None:
        """End it, with all of its processes."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def failure(self) -> str:
        """Return its error, or else the end of its stderr."""
        for event in reversed(self.events):
            if event.get("type") == "error":
                return f"{text(event, 'message')} [{text(event, 'reference')}]"
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-_LAST_CHARACTERS:].strip()

    def _failed(self, reason: str) -> TerraliveError:
        said = self.failure()
        message = f"`terralive {self._name}`: {reason}."
        if said:
            message = f"{message} {said}"
        return TerraliveError("self-test-failed", message)

    def _read(self) -> None:
        if self._process.stdout is None:
            return
        for line in self._process.stdout:
            event = parse_object(line)
            if event:
                self.events.append(event)
                self._fresh.put(event)
        self._fresh.put(None)

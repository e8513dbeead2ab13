"""The command line as a user types it: a real process, whose JSON events are read at once."""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from terralive_testing.machine.sandbox_logs import LOGS
from terralive_testing.oracles.output_schema import require_valid

Event = dict[str, Any]
WAIT_SECONDS = 90.0
# Values of `--output` in a command's own arguments.
_TEXT = {"plain", "rich"}


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without the variables of AWS and terralive.

    No test may depend on the developer's account.
    """
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("AWS_", "TERRALIVE_", "TF_VAR_"))
    }
    if "TERRALIVE_PROVIDER_MIRROR" in os.environ:
        kept["TERRALIVE_PROVIDER_MIRROR"] = os.environ["TERRALIVE_PROVIDER_MIRROR"]
    return {**kept, "AWS_EC2_METADATA_DISABLED": "true", "TERRALIVE_USER": "ana", **(extra or {})}


def _projects(arguments: Sequence[str]) -> list[Path]:
    """Return the folders that `--project` names."""
    pairs = itertools.pairwise(arguments)
    return [Path(value) for flag, value in pairs if flag == "--project"]


class Command:
    """A running `terralive … --output json`.

    At the end of the context, its output must be as the published schema says, unless its own
    arguments ask for text.

    Args:
        arguments: the words behind `terralive`.
        cwd: the folder that it runs in.
        environment: variables beside those of `clean_environment()`.
        terminal: the file descriptor of a terminal for its questions and their answers; None where
            nobody can answer.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        *,
        terminal: int | None = None,
    ) -> None:
        self.arguments = list(arguments)
        self.events: list[Event] = []
        # Called with each event, on the reader's thread. Set it to see events as they happen.
        self.on_event: Callable[[Event], None] | None = None
        self.noise: list[str] = []
        # Lines on stdout that are no JSON: of a command that was asked for text.
        self.not_json: list[str] = []
        # The command may start a sandbox, whose log is in the project.
        for project in {cwd, *_projects(self.arguments)}:
            LOGS.watch(project / ".terralive" / "sandbox.log")
        self._fresh: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "terralive_cli", "--output", "json", *arguments],
            cwd=cwd,
            env=clean_environment(environment),
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if terminal is None else terminal,
            text=True,
            start_new_session=True,
        )
        self._readers = [threading.Thread(target=self._read_events, daemon=True)]
        if terminal is None:
            self._readers.append(threading.Thread(target=self._read_noise, daemon=True))
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for reader in self._readers:
            reader.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        if error is None:
            if not _TEXT & set(self.arguments):
                assert not self.not_json, f"not JSON: {self.not_json[:5]}\n{self.story()}"
            require_valid(self.events, f"terralive {' '.join(self.arguments)}")

    def wait_for(
        self, wanted: Callable[[Event], bool], what: str, timeout_s: float = WAIT_SECONDS
    ) -> Event:
        """Return the next wanted event. Later calls do not see the events before it."""
        until = time.monotonic() + timeout_s
        while True:
            try:
                event = self._fresh.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(
                    f"no {what} within {timeout_s:.0f} s\n{self.story()}"
                ) from None
            if event is None:
                raise AssertionError(f"terralive ended before {what}\n{self.story()}")
            if wanted(event):
                return event

    def wait_for_type(self, kind: str, timeout_s: float = WAIT_SECONDS) -> Event:
        return self.wait_for(lambda event: event["type"] == kind, f"`{kind}` event", timeout_s)

    def interrupt(self) -> None:
        """Send SIGINT, as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def finish(self, timeout_s: float = WAIT_SECONDS) -> int:
        """Wait until the process has ended and return its exit code."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"terralive did not end within {timeout_s:.0f} s\n{self.story()}"
            ) from None
        for reader in self._readers:
            reader.join(10)
        return code

    def of_type(self, kind: str) -> list[Event]:
        """Return the events of a type that have arrived so far."""
        return [event for event in list(self.events) if event["type"] == kind]

    def story(self) -> str:
        """Return its last events and lines, for the report of a failed test."""
        lines = [json.dumps(event)[:600] for event in self.events[-60:]]
        return "\n".join(
            [f"terralive {' '.join(self.arguments)}", *lines, "stderr:", *self.noise[-60:]]
        )

    def _read_events(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                self.not_json.append(line.rstrip())
                self.noise.append(f"not JSON on stdout: {line.rstrip()}")
                continue
            self.events.append(event)
            if self.on_event is not None:
                self.on_event(event)
            self._fresh.put(event)
        self._fresh.put(None)

    def _read_noise(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.noise.append(line.rstrip())


def run(
    arguments: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 180,
) -> Command:
    """Run a command to its end."""
    with Command(arguments, cwd, environment) as command:
        command.finish(timeout_s)
    return command

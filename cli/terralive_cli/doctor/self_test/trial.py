"""The steps of a self-test: deploy, invoke, measure, edit, wait, and remove everything."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from terralive_cli.doctor.self_test.project import SelfTestProject
from terralive_cli.doctor.self_test.results import Measured, SelfTestStep, measured
from terralive_cli.doctor.self_test.running import Command, Running
from terralive_cli.output.events import Emit, Message
from terralive_cli.output.interrupts import Interrupts
from terralive_stub.errors import TerraliveError
from terralive_stub.shared.json_documents import Json, as_object, items, number, parse_object, text

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient

# A first deployment to AWS downloads the provider, and creates about 30 resources.
_DEPLOY_SECONDS: Final = 1200.0
_REMOVE_SECONDS: Final = 1200.0
_ANSWER_SECONDS: Final = 60.0
# Terraform ends what it has begun to create before it stops.
_STOP_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.5
_KILOBYTE: Final = 1024
# Lambda allows 6,291,556 bytes, and the answer has a field more than the event.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_LARGEST: Final = 6 * 1024 * 1024 - _KILOBYTE
# Lambda freezes an environment between invocations. API Gateway ends a WebSocket that is idle for
# ten minutes, and a frozen stub sends nothing.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
_QUIET_MINUTES: Final = (1, 6)
_SECONDS: Final = 60
_FUNCTIONS: Final = 2
NewCommand: TypeAlias = Callable[[Sequence[str], Path, Mapping[str, str]], Command]


@dataclass(slots=True)
class Trial:
    """One self-test.

    Attributes:
        project: its project.
        client: Lambda, where it is deployed.
        environment: the environment of its commands.
        options: the options of its commands (`--sandbox`).
        emit: shows events.
        new_command: runs a command, by its words, its project's folder and its environment.
        steps: the steps that have ended.
        commands: the commands that were run.
    """

    project: SelfTestProject
    client: LambdaClient = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    options: Sequence[str]
    emit: Emit
    new_command: NewCommand = Running
    steps: list[SelfTestStep] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)

    def run(self, *, quick: bool) -> None:
        """Make all steps. The first one that fails ends it.

        Args:
            quick: leave out what takes minutes.

        Raises:
            TerraliveError: a step has failed. It is in `steps`.
        """
        several, large = 20, 3
        if quick:
            several, large = 5, 1
        self._step("deploy", self._deploy)
        self._step("main job", self._main_job)
        self._step("round trips", lambda: self._round_trips(several, large))
        self._step("edit", self._edit)
        if not quick:
            for minutes in _QUIET_MINUTES:
                self._step(f"{minutes} min without work", partial(self._quiet, minutes))
            self._step("connect again", self._connect_again)

    def remove(self, interrupts: Interrupts) -> bool:
        """Stop the relay, and destroy the app and the debug stack, also after an interrupt.

        Args:
            interrupts: the second interrupt ends it.

        Returns:
            Whether nothing is left.
        """
        began = time.monotonic()
        self.emit(Message(message="Removing everything …"))
        for command in self.commands:
            command.interrupt()
            if command.finish(_STOP_SECONDS) is None:
                command.kill()
        is_clean, message = self._destroyed(interrupts)
        self._ended(SelfTestStep("remove", is_clean, elapsed_s=0, message=message), began)
        return is_clean

    @property
    def problems(self) -> list[str]:
        """The warnings and errors of the commands, and lost connections, each once."""
        found: dict[str, None] = {}
        for command in self.commands:
            for event in command.events:
                match event.get("type"):
                    case "warning" | "error":
                        found[f"`{text(event, 'reference')}`: {text(event, 'message')}"] = None
                    case "connection" if event.get("state") == "lost":
                        found[f"connection lost: {text(event, 'reason')}"] = None
        return list(found)

    def _step(self, name: str, body: Callable[[], tuple[str, tuple[Measured, ...]]]) -> None:
        began = time.monotonic()
        try:
            message, times = body()
        except TerraliveError as error:
            self._ended(SelfTestStep(name, ok=False, elapsed_s=0, message=error.message), began)
            raise
        self._ended(
            SelfTestStep(name, ok=True, elapsed_s=0, message=message, measured=times), began
        )

    def _ended(self, step: SelfTestStep, began: float) -> None:
        ended = SelfTestStep(
            step.step, step.ok, round(time.monotonic() - began, 1), step.message, step.measured
        )
        self.steps.append(ended)
        self.emit(ended)

    def _deploy(self) -> tuple[str, tuple[Measured, ...]]:
        self.emit(Message(message="Deploying a debug stack and two functions …"))
        start = self._command("start", "--yes", "--on-exit", "keep")
        ready = start.wait_for("ready", _DEPLOY_SECONDS)
        if len(items(ready, "functions")) != _FUNCTIONS:
            raise TerraliveError("self-test-failed", "Not both functions are live.")
        connecting = [
            number(event, "elapsed_s")
            for event in start.events
            if event.get("action") == "connect" and event.get("state") == "done"
        ]
        times: tuple[Measured, ...] = ()
        if connecting:
            times = (measured("connect, beside a deployment", connecting),)
        return "the debug stack and two functions", times

    def _main_job(self) -> tuple[str, tuple[Measured, ...]]:
        began = time.perf_counter()
        answer = self._invoke(self.project.call, {"padding": "x"})
        first = time.perf_counter() - began
        called = as_object(answer.get("called"))
        if called != {"edition": 1, "padding": "x"}:
            raise TerraliveError("self-test-failed", f"The answer is {json.dumps(answer)[:200]}.")
        self._invoke_asynchronously()
        message = "one function has called the other by its role; an event has run"
        return message, (measured("first invocation, of both functions", [first]),)

    def _round_trips(self, several: int, large: int) -> tuple[str, tuple[Measured, ...]]:
        small_s = [self._round_trip(_KILOBYTE) for _ in range(several)]
        large_s = [self._round_trip(_LARGEST) for _ in range(large)]
        times = (
            measured("round trip, 1 KB each way", small_s),
            measured("round trip, 6 MB each way", large_s),
        )
        return "payloads came back as they were", times

    def _edit(self) -> tuple[str, tuple[Measured, ...]]:
        began = time.perf_counter()
        self.project.edit(2)
        until = time.monotonic() + _ANSWER_SECONDS
        while self._invoke(self.project.echo, {})["edition"] != 2:  # noqa: PLR2004  # the new one
            if time.monotonic() > until:
                raise TerraliveError("self-test-failed", "The edit did not run within a minute.")
        return "the edited code has answered", (
            measured("edit to live", [time.perf_counter() - began]),
        )

    def _quiet(self, minutes: int) -> tuple[str, tuple[Measured, ...]]:
        """Wait without an invocation, while the relay pings and the stub is frozen."""
        self.emit(Message(message=f"Waiting {minutes} min without an invocation …"))
        lost = self._lost()
        until = time.monotonic() + minutes * _SECONDS
        while time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
            self.commands[-1].require_alive()
        took = self._round_trip(_KILOBYTE)
        message = f"the stub has answered; connections lost: {self._lost() - lost}"
        return message, (measured(f"round trip after {minutes} min", [took]),)

    def _connect_again(self) -> tuple[str, tuple[Measured, ...]]:
        first = self.commands[-1]
        first.interrupt()
        if first.finish(_STOP_SECONDS) is None:
            raise TerraliveError("self-test-failed", "`terralive start` did not stop.")
        began = time.perf_counter()
        start = self._command("start", "--yes", "--on-exit", "keep")
        start.wait_for("connection", _ANSWER_SECONDS, state="connected")
        connected = time.perf_counter() - began
        start.wait_for("ready", _ANSWER_SECONDS)
        ready = time.perf_counter() - began
        self._round_trip(_KILOBYTE)
        return "an unchanged start has connected", (
            measured("unchanged start until connected", [connected]),
            measured("unchanged start until live", [ready]),
        )

    def _command(self, *words: str) -> Command:
        words = (*words, *self.options)
        command = self.new_command(words, self.project.folder, self.environment)
        self.commands.append(command)
        return command

    def _lost(self) -> int:
        events = [event for command in self.commands for event in command.events]
        return sum(
            event.get("type") == "connection" and event.get("state") == "lost" for event in events
        )

    def _round_trip(self, size: int) -> float:
        """Invoke the function that returns its event, and return how long that took, in seconds."""
        padding = "x" * size
        began = time.perf_counter()
        answer = self._invoke(self.project.echo, {"padding": padding})
        took = time.perf_counter() - began
        if answer.get("padding") != padding:
            raise TerraliveError("self-test-failed", f"{size} bytes did not come back.")
        return took

    def _invoke(self, function: str, event: Mapping[str, Json]) -> dict[str, Json]:
        """Invoke a deployed function, and return its answer.

        Raises:
            TerraliveError: `self-test-failed`.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        self.commands[-1].require_alive()
        try:
            answer = self.client.invoke(FunctionName=function, Payload=json.dumps(event).encode())
            payload = answer["Payload"].read()
        except (BotoCoreError, ClientError) as error:
            message = f"{function} could not be invoked: {error}"
            raise TerraliveError("self-test-failed", message) from None
        if answer.get("FunctionError"):
            said = payload.decode(errors="replace")[:500]
            raise TerraliveError("self-test-failed", f"{function} has failed: {said}")
        return dict(parse_object(payload))

    def _invoke_asynchronously(self) -> None:
        answer = self.client.invoke(
            FunctionName=self.project.echo, InvocationType="Event", Payload=b"{}"
        )
        request = answer["ResponseMetadata"]["RequestId"]
        self.commands[-1].wait_for("result", _ANSWER_SECONDS, request_id=request, ok=True)

    def _destroyed(self, interrupts: Interrupts) -> tuple[bool, str]:
        """Destroy the app and the debug stack; a second time if the first one fails."""
        destroy = self._command("destroy", "--app", "--yes")
        code = _ended(destroy, interrupts, self.emit)
        if code not in (0, None):
            destroy = self._command("destroy", "--app", "--yes")
            code = _ended(destroy, interrupts, self.emit)
        if code != 0:
            return False, destroy.failure() or "`terralive destroy` did not end"
        left = self._left()
        if left:
            return False, f"still there: {', '.join(left)}"
        return True, "nothing is left"

    def _left(self) -> list[str]:
        """Return the names of functions that are still there, or may be."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        left: list[str] = []
        for name in (self.project.echo, self.project.call):
            try:
                self.client.get_function(FunctionName=name)
            except self.client.exceptions.ResourceNotFoundException:
                continue
            except (BotoCoreError, ClientError) as error:
                left.append(f"perhaps {name} ({error})")
                continue
            left.append(name)
        return left


def _ended(command: Command, interrupts: Interrupts, emit: Emit) -> int | None:
    """Wait until a destroy has ended. The second interrupt is passed on to it.

    Returns:
        Its exit code; None if it was interrupted, or has not ended in time.
    """
    has_asked = False
    until = time.monotonic() + _REMOVE_SECONDS
    while time.monotonic() < until:
        code = command.finish(_POLL_SECONDS)
        if code is not None:
            return code
        if interrupts.wait(0.01) is None:
            continue
        if has_asked:
            break
        has_asked = True
        emit(Message(message="Everything is being removed. Ctrl-C again leaves the rest there."))
    command.interrupt()
    if command.finish(_STOP_SECONDS) is None:
        command.kill()
    return None

"""The relay: puts session, transport, workers and watcher together. The shell around `session.py`.

Threads: `relay-session` owns the session and everything about invocations; all others only put
items into its inbox (see relay/README.md for the whole list, what each blocks on and how it stops).
"""

from __future__ import annotations

import ast
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from terralive_relay.code.build import builds
from terralive_relay.code.watch import Watcher
from terralive_relay.connection.effects import (
    Close,
    Effect,
    Publish,
    Remember,
    Renew,
    Run,
    Send,
    Stop,
    StopReason,
)
from terralive_relay.connection.forwarding import SECONDS as FORWARD_SECONDS
from terralive_relay.connection.forwarding import Forwarding
from terralive_relay.connection.journal import Journal
from terralive_relay.connection.leasing import RENEW_SECONDS, RelayIdentity
from terralive_relay.connection.session import RelaySession
from terralive_relay.connection.surroundings import Change, Clocks, Network, address_towards
from terralive_relay.connection.transport import Closed, Happening, Opened, Text, Transport
from terralive_relay.events import (
    ConnectionChanged,
    ConnectionState,
    LogLine,
    RelayEvent,
    Reloaded,
    Sink,
    Warned,
)
from terralive_relay.memory import limit_arenas
from terralive_relay.pool.pool import Pool
from terralive_relay.pool.records import PoolResult
from terralive_stub.errors import CredentialsError, StageHeldError, TerraliveError
from terralive_stub.protocol.invocation import NOTHING_PRINTED, Invocation
from terralive_stub.protocol.named_errors import ErrorName, error_outcome
from terralive_stub.protocol.sigv4 import Credentials
from terralive_stub.protocol.wire import GatewayError, ProtocolError, decode, encode
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api import RuntimeApi

_GOODBYE_SECONDS: Final = 2.0
_WATCH_SECONDS: Final = 10.0
_MOST_READ: Final = 50  # a checkout of another branch is no edit
_LOOK_SECONDS: Final = 1.0
_SAME_WARNING_SECONDS: Final = 60.0
_FORBIDDEN_SECONDS: Final = (
    20.0  # a new API, or a permission of a moment ago, takes some seconds to be known
)


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """What a relay needs to know.

    Attributes:
        url: the debug stack's WebSocket address, through the door for relays.
        region: its region.
        stage: the stage's name, for messages.
        identity: what the relay says of itself.
        functions: what it serves.
        journal: the file that remembers request ids over restarts.
        forward_logs: what handlers print goes to their stubs, too.
    """

    url: str
    region: str
    stage: str
    identity: RelayIdentity
    functions: tuple[LocalFunction, ...]
    journal: Path | None = None
    forward_logs: bool = False


@dataclass(frozen=True, slots=True)
class _Finished:
    request_id: str
    result: PoolResult


class _Halt:
    """Ends the session's thread."""


_Item: TypeAlias = Happening | _Finished | _Halt


class Relay:
    """Runs local handlers for a debug stack until it is stopped or the stage becomes somebody else's.

    Args:
        settings: see there.
        credentials: gives the caller's AWS credentials of this moment.
        sink: takes every event; must not block.
        backoff_scale: shortens the waits between connections in tests.
        renew_after_s: the age at which a connection is replaced.

    Raises:
        ConfigurationError: a function's runtime cannot run here.
    """

    def __init__(
        self,
        settings: RelaySettings,
        credentials: Callable[[], Credentials],
        sink: Sink,
        *,
        backoff_scale: float = 1.0,
        renew_after_s: float = RENEW_SECONDS,
    ) -> None:
        limit_arenas()  # before there are threads
        self._settings = settings
        self._sink = sink
        self._inbox: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._journal = (
            Journal(settings.journal, int(time.time() * 1000))
            if settings.journal is not None
            else None
        )
        seen = self._journal.seen if self._journal is not None else {}
        self._session = RelaySession(settings.identity, renew_after_s, seen)
        self._transport = Transport(
            settings.url, settings.region, credentials, self._inbox.put, backoff_scale=backoff_scale
        )
        self._forwarding = Forwarding() if settings.forward_logs else None
        self._forwarded_at = 0.0
        self._api = RuntimeApi()
        try:
            self._pools = {
                function.name: Pool(function, self._api, self._hear)
                for function in settings.functions
            }
            self._builds = builds(
                [(function, self._pools[function.name]) for function in settings.functions],
                self._api.guardian,
                sink,
            )
        except TerraliveError:
            self._api.close()
            raise
        self._watcher = Watcher(
            settings.functions,
            self._changed,
            trouble=lambda text: sink(Warned("watching-by-polling", text)),
        )
        self._thread = threading.Thread(target=self._run, name="relay-session", daemon=True)
        self._ready = threading.Event()  # connected for the first time, or never to be
        self._over = threading.Event()  # stopped by itself
        self._failure: TerraliveError | None = None
        self._forbidden_since: float | None = None
        self._why_not = ""  # the last reason for having no connection
        self._clocks = Clocks(time.monotonic(), time.time())
        self._network = Network()
        self._looked_at = 0.0
        self._warned: dict[str, float] = {}  # when, by reference

    def start(self) -> None:
        """Start every thread; connecting goes on in the background."""
        self._watcher.start()
        for build in self._builds:
            build.start()
        self._thread.start()
        self._transport.start()

    def wait_connected(self, timeout_s: float) -> None:
        """Wait until the lease is this relay's and edits are seen.

        Raises:
            StageHeldError: somebody else holds it.
            CredentialsError: the gateway refuses these credentials.
            TerraliveError: it could not be reached in time.
        """
        if not self._ready.wait(timeout_s):
            raise TerraliveError(
                "relay-not-connected",
                f"The debug stack's WebSocket API did not let the relay in within {timeout_s:.0f} s "
                f"({self._settings.url}). {self._why_not}".strip(),
                hint="Check this machine's network (a proxy must let WebSockets through), then run the command again.",
            )
        if self._failure is not None:
            raise self._failure
        self._watcher.wait_ready(_WATCH_SECONDS)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the relay stops by itself; True if it has.

        Raises:
            StageHeldError: because the stage was taken over.
        """
        over = self._over.wait(timeout_s)
        if over and self._failure is not None:
            raise self._failure
        return over

    def stop(self) -> None:
        """Leave.

        Answer what is under way by name, give the lease back, end every worker and thread.
        """
        self._watcher.close()
        for build in self._builds:
            build.close()
        for pool in self._pools.values():
            pool.close()  # completes every invocation under way; the session still sends those outcomes
        if self._thread.ident is not None:  # else start() has failed before it
            self._inbox.put(_Halt())
            self._thread.join()
        self._transport.stop()
        self._api.close()
        if self._journal is not None:
            self._journal.close()
        self._sink(ConnectionChanged(ConnectionState.CLOSED))

    def _run(self) -> None:
        try:
            while self._step():
                pass
            self._leave()
        except Exception as error:  # noqa: BLE001  # the last net: a relay without this thread must not look alive
            self._fail(
                TerraliveError(
                    "relay-failed",
                    f"The relay itself failed: {type(error).__name__}: {error}",
                    hint="This is a bug of terralive's; please report it. `terralive start` goes on.",
                )
            )

    def _step(self) -> bool:
        """Do the next thing; False when it is time to leave."""
        now = time.monotonic()
        self._do(self._look_around(now))
        self._do(self._forward(now))
        try:
            item = self._inbox.get(timeout=max(0.0, self._session.next_tick(now) - now))
        except queue.Empty:
            self._do(self._session.tick(time.monotonic()))
            return True
        if isinstance(item, _Halt):
            return False
        self._do(self._take(item))
        return True

    def _look_around(self, now: float) -> list[Effect]:
        if now - self._looked_at < _LOOK_SECONDS:
            return []
        self._looked_at = now
        slept = self._clocks.gap(now, time.time())
        peer = self._transport.peer()
        if peer and peer != self._network.peer:
            self._network = Network(peer)
        change = (
            self._network.look(address_towards(self._network.peer))
            if self._network.peer
            else Change.NONE
        )
        if change is Change.NONE and not slept:
            return []
        self._transport.hurry()
        return (
            self._session.network_changed() if change is Change.MOVED else self._session.woke(now)
        )

    def _hear(self, event: RelayEvent) -> None:
        """Take what a pool tells; from any thread."""
        if self._forwarding is not None and isinstance(event, LogLine):
            self._forwarding.add(event)
        self._sink(event)

    def _forward(self, now: float) -> list[Effect]:
        """Send what running handlers have printed; their last lines travel with their results."""
        if (
            self._forwarding is None
            or self._session.released
            or now - self._forwarded_at < FORWARD_SECONDS
        ):
            return []
        self._forwarded_at = now
        effects: list[Effect] = []
        for request_id, printed in self._forwarding.next_messages().items():
            sent = self._session.printed(request_id, printed)
            if not sent:
                self._forwarding.end(request_id)  # it has ended meanwhile
            effects += sent
        return effects

    def _leave(self) -> None:
        """Say goodbye, and hear that it was understood, so that no stub waits for this relay to come back."""
        self._do(self._session.goodbye())
        until = time.monotonic() + _GOODBYE_SECONDS
        while not self._session.released and (left := until - time.monotonic()) > 0:
            try:
                item = self._inbox.get(timeout=left)
            except queue.Empty:
                return
            if not isinstance(item, _Halt):
                self._do(self._take(item))

    def _take(self, item: Happening | _Finished) -> list[Effect]:
        now = time.monotonic()
        match item:
            case Opened(connection=connection):
                self._forbidden_since = None
                return self._session.opened(connection, now)
            case Closed(connection=connection, why=why, retry_in_s=retry_in_s, forbidden=forbidden):
                self._why_not = why
                self._mind_refusals(why, now, forbidden=forbidden)
                return self._session.closed(connection, now, why, retry_in_s)
            case Text(connection=connection, text=text):
                return self._read(connection, text, now)
            case _Finished(request_id=request_id, result=result):
                logs = (
                    self._forwarding.end(request_id)
                    if self._forwarding is not None
                    else NOTHING_PRINTED
                )
                return self._session.finished(
                    request_id,
                    replace(result.outcome, logs=logs),
                    result.handler_ms,
                    now,
                    send=not result.timed_out,
                    waited_ms=result.waited_ms,
                )

    def _mind_refusals(self, why: str, now: float, *, forbidden: bool) -> None:
        if not forbidden:
            self._forbidden_since = None
            return
        if self._forbidden_since is None:
            self._forbidden_since = now
        if now - self._forbidden_since >= _FORBIDDEN_SECONDS and not self._ready.is_set():
            self._fail(
                CredentialsError(
                    "relay-forbidden",
                    f"The debug stack's WebSocket API refused these credentials: {why}.",
                    hint="They need `execute-api:Invoke` on the debug stack's API, stage `relay`.",
                )
            )

    def _read(self, connection: int, text: str, now: float) -> list[Effect]:
        try:
            return self._session.received(connection, decode(text), now, int(time.time() * 1000))
        except GatewayError:  # what was lost is said again: no more than news
            text = "the debug stack's broker failed or was throttled (its log group tells more); going on"
            self._warn_rarely("broker-failed", text, now)
        except ProtocolError as error:
            self._warn_rarely(
                "malformed-message", f"a message was not understood and is ignored: {error}", now
            )
        return []

    def _warn_rarely(self, reference: str, text: str, now: float) -> None:
        if now - self._warned.get(reference, -_SAME_WARNING_SECONDS) >= _SAME_WARNING_SECONDS:
            self._warned[reference] = now
            self._sink(Warned(reference, text))

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send() | Renew() | Close():
                    self._connect(effect)
                case Run(invocation=invocation):
                    self._start(invocation)
                case Remember(request_id=request_id, seen=seen):
                    if self._journal is not None:
                        self._journal.note(request_id, seen)
                case Publish(event=event):
                    if (
                        isinstance(event, ConnectionChanged)
                        and event.state is ConnectionState.CONNECTED
                    ):
                        self._ready.set()
                    self._sink(event)
                case Stop():
                    self._stop_by_itself(effect)

    def _connect(self, effect: Send | Renew | Close) -> None:
        match effect:
            case Send(connection=connection, message=message):
                self._transport.send(connection, encode(message))
            case Renew():
                self._transport.renew()
            case Close(connection=connection, why=why):
                self._transport.close(connection, why)

    def _start(self, invocation: Invocation) -> None:
        pool = self._pools[invocation.function_name]
        future = pool.submit(invocation)
        future.add_done_callback(partial(self._finish, invocation.request_id))

    def _finish(self, request_id: str, future: Future[PoolResult]) -> None:
        error = future.exception()
        if error is None:
            self._inbox.put(_Finished(request_id, future.result()))
            return
        outcome = error_outcome(ErrorName.PROTOCOL, f"The relay could not run the handler: {error}")
        self._inbox.put(_Finished(request_id, PoolResult(outcome, 0.0)))

    def _stop_by_itself(self, stop: Stop) -> None:
        who = f"{stop.owner} on {stop.machine}"
        stage = self._settings.stage
        if stop.reason is StopReason.HELD:
            self._sink(ConnectionChanged(ConnectionState.REFUSED, who))
            mine = (stop.owner, stop.machine) == (
                self._settings.identity.owner,
                self._settings.identity.machine,
            )
            self._fail(held_by(stage, stop.owner, stop.machine, stop.since_ms, mine=mine))
        else:
            self._sink(ConnectionChanged(ConnectionState.TAKEN_OVER, who))
            self._fail(
                StageHeldError(
                    "stage-taken-over",
                    f"{who} has taken stage {stage!r} over; this relay has stopped.",
                    hint="Use a stage of your own (`--stage`), or take it back with `--takeover`.",
                )
            )

    def _fail(self, error: TerraliveError) -> None:
        self._failure = error
        self._ready.set()
        self._over.set()

    def _changed(self, function: str, paths: tuple[str, ...]) -> None:
        for build in self._builds:
            if function in build.functions:
                if build.changed(function, paths):
                    self._sink(Reloaded(function, paths))
                return
        tried = self._pools[function].mark_stale()
        self._sink(Reloaded(function, paths))
        if not tried:
            self._read_over(function, paths)

    def _read_over(self, function: str, paths: tuple[str, ...]) -> None:
        """Warn of a syntax error that no worker finds yet.

        Without the function's environment there is none.
        """
        root = next(item.path for item in self._settings.functions if item.name == function)
        for path in [path for path in paths if path.endswith(".py")][:_MOST_READ]:
            try:
                ast.parse((root / path).read_bytes(), path)
            except SyntaxError as error:
                text = f"{path}:{error.lineno}: {error.msg}\nInvocations get this error until the file is corrected."
                self._sink(Warned("code-does-not-load", text, function))
            except (OSError, ValueError):
                continue


def held_by(
    stage: str, owner: str, machine: str, since_ms: int, *, mine: bool = False
) -> StageHeldError:
    """Say who has a stage, and what to do.

    `mine`: it is a relay of the same person on the same machine.
    """
    since = (
        time.strftime(" since %Y-%m-%d %H:%M", time.localtime(since_ms / 1000)) if since_ms else ""
    )
    if mine:
        return StageHeldError(
            "stage-held",
            f"Stage {stage!r} is live for another `terralive start` of yours on this machine{since}.",
            hint="Stop that one, or use `--takeover`. If it is gone without a trace, its lease ends within a minute.",
        )
    return StageHeldError(
        "stage-held",
        f"Stage {stage!r} is live for {owner} on {machine}{since}.",
        hint="Ask them to stop, use a stage of your own (`--stage`), or take it over with `--takeover`.",
    )

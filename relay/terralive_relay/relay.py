"""The relay: puts session, transport, workers and watcher together. The shell around `session.py`.

Threads: `relay-session` owns the session and everything about invocations. All others only put
items into its inbox. relay/README.md lists the threads, what each blocks on and how it stops.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from terralive_relay import stage_errors
from terralive_relay.connection.clock import clock_warning
from terralive_relay.connection.surroundings import Observation, Surroundings
from terralive_relay.connection.transport import ClockRead, Transport
from terralive_relay.events import (
    ConnectionChanged,
    ConnectionState,
    LogLine,
    RelayEvent,
    Sink,
    Warned,
)
from terralive_relay.inbox import HandlerEnded, Item, Serve, ThreadEnded
from terralive_relay.memory import limit_arenas
from terralive_relay.pool.pool import Pool
from terralive_relay.pool.records import PoolResult
from terralive_relay.running import RunningInvocations
from terralive_relay.served import ServedFunctions
from terralive_relay.session.effects import (
    Close,
    Effect,
    LetWrite,
    Publish,
    Remember,
    Renew,
    Run,
    Send,
    Stop,
    StopReason,
)
from terralive_relay.session.forwarding import SECONDS as FORWARD_SECONDS
from terralive_relay.session.forwarding import Forwarding
from terralive_relay.session.journal import Journal, Seen
from terralive_relay.session.leasing import RENEW_SECONDS
from terralive_relay.session.session import RelaySession
from terralive_relay.settings import RelaySettings
from terralive_relay.streaming.response import PieceWritten, StreamBegan
from terralive_stub.errors import TerraliveError
from terralive_stub.protocol.invocation import NOTHING_PRINTED, Invocation
from terralive_stub.protocol.messages import GatewayError, ProtocolError
from terralive_stub.protocol.transport_events import (
    Closed,
    Opened,
    TextReceived,
)
from terralive_stub.protocol.wire import decode, encode
from terralive_stub.shared.sigv4 import Credentials
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi

# The time that the broker has to confirm a goodbye.
_GOODBYE_SECONDS: Final = 2.0
# The time between two looks at this machine's clocks and network.
_OBSERVE_SECONDS: Final = 1.0
# A warning with the same reference is given once in this time.
_SAME_WARNING_SECONDS: Final = 60.0
# A new API, or a permission of a moment ago, takes some seconds to be known everywhere in AWS.
# Until then API Gateway's refusals are no reason to give up.
_FORBIDDEN_SECONDS: Final = 20.0
# The time between two looks whether the session's thread still runs.
_LOOK_SECONDS: Final = 1.0
_log = logging.getLogger("terralive.relay")


# Takes an invocation, with the name of its function in events.
Taken: TypeAlias = Callable[[str, Invocation], None]
# None tells the session's thread to end.
_Item: TypeAlias = Item | None


class Relay:
    """Runs local handlers for a debug stack until it is stopped or another relay has the stage.

    Args:
        settings: see `RelaySettings`.
        credentials: returns the caller's present AWS credentials.
        sink: takes every event; must not block.
        taken: takes every invocation that a handler gets, with the function's name in events; must
            not block. None for nobody.
        backoff_scale: shortens the waits between connections in tests.
        renew_after_s: the age at which a connection is replaced.

    Raises:
        ConfigurationError: a function's runtime cannot run here, or `relay-url-invalid`.
    """

    def __init__(
        self,
        settings: RelaySettings,
        credentials: Callable[[], Credentials],
        sink: Sink,
        *,
        taken: Taken | None = None,
        backoff_scale: float = 1.0,
        renew_after_s: float = RENEW_SECONDS,
    ) -> None:
        limit_arenas()  # before there are threads
        self._settings = settings
        self._sink = sink
        self._taken = taken
        # Items for the session's thread; any thread may add one.
        self._inbox: queue.SimpleQueue[_Item] = queue.SimpleQueue()

        # Thread-safe by themselves.
        self._transport = Transport(
            settings.url,
            settings.region,
            credentials,
            self._inbox.put,
            self._thread_failed,
            token=settings.token,
            tls=settings.tls,
            clock_offset_s=settings.clock_offset_s,
            backoff_scale=backoff_scale,
        )

        # Used by the session's thread only.
        self._journal: Journal | None = None
        seen: Mapping[str, Seen] = {}
        if settings.journal is not None:
            self._journal = Journal(settings.journal, int(time.time() * 1000))
            seen = self._journal.seen
        names = {function.arn: function.shown_name for function in settings.functions}
        # By the functions' ARNs.
        self._pools: Mapping[str, Pool] = {}
        self._session = RelaySession(settings.identity, renew_after_s, seen, names)
        self._running = RunningInvocations(self._report_ended, self._inbox.put)
        # The time of the first of the gateway's refusals in a row; None while there is none.
        self._forbidden_since: float | None = None
        self._surroundings = Surroundings(time.monotonic(), time.time())
        # The times of the last look at this machine, and of the last forwarded lines.
        self._observed_at = 0.0
        self._forwarded_at = 0.0
        # The time of the last warning, by reference.
        self._warned_at: dict[str, float] = {}

        # Thread-safe by themselves, too.
        self._forwarding: Forwarding | None = None
        if settings.forward_logs:
            self._forwarding = Forwarding()
        self._api = RuntimeApi()
        # Used by the thread that owns the relay only.
        try:
            self._served = ServedFunctions(
                settings.functions, self._api, sink, self._publish_from_pool, self._thread_failed
            )
        except TerraliveError:
            self._api.close()
            raise
        self._pools = self._served.pools
        self._thread = threading.Thread(target=self._run, name="relay-session", daemon=True)

        # Written by the session's thread, read by those that wait.
        # The relay has had the lease, or has failed.
        self._ready = threading.Event()
        # The relay has the lease for all functions that it serves, or has failed.
        self._serving = threading.Event()
        # The relay has stopped by itself.
        self._over = threading.Event()
        # The reason for that; set before `_ready` and `_over`.
        self._failure: TerraliveError | None = None
        # The last reason for the loss of a connection, for a message.
        self._last_loss = ""

    # Methods for the command line

    def start(self) -> None:
        """Start every thread; connecting goes on in the background."""
        self._served.start()
        self._thread.start()
        self._transport.start()

    def wait_connected(self, timeout_s: float) -> None:
        """Wait until this relay has the lease and sees edits.

        Raises:
            StageHeldError: another relay holds the stage.
            CredentialsError: the gateway refuses these credentials.
            TerraliveError: it could not be reached in time.
        """
        if not self._ready.wait(timeout_s):
            raise stage_errors.not_connected(timeout_s, self._settings.url, self._last_loss)
        if self._failure is not None:
            raise self._failure
        self._served.wait_ready()

    def serve(self, functions: Sequence[LocalFunction], timeout_s: float) -> None:
        """Serve these functions from now on, and wait until the debug stack knows.

        Invocations that run go on to their ends. Workers of functions that stay the same stay.
        A session that has begun, and the lease, stay.

        Raises:
            ConfigurationError: a function's runtime cannot run here. Nothing has changed then.
            StageHeldError: another relay holds the stage.
            TerraliveError: the debug stack could not be reached in time.
        """
        if tuple(functions) != self._served.functions:
            self._served.change(functions)
            change = Serve(self._served.pools)
            self._inbox.put(change)
            while not change.taken.wait(_LOOK_SECONDS) and self._thread.is_alive():
                pass
            self._served.finish_replaced()
        if not self._serving.wait(timeout_s):
            raise stage_errors.not_connected(timeout_s, self._settings.url, self._last_loss)
        if self._failure is not None:
            raise self._failure

    def restart_workers(self) -> None:
        """Have new workers run the invocations from now on. Those that run go on to their ends."""
        for pool in self._served.pools.values():
            pool.mark_stale()

    @property
    def waiting(self) -> int:
        """The number of invocations that no worker has taken yet."""
        return sum(pool.waiting for pool in self._served.pools.values())

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the relay stops by itself; return True if it has.

        Raises:
            StageHeldError: because the stage was taken over.
        """
        over = self._over.wait(timeout_s)
        if over and self._failure is not None:
            raise self._failure
        return over

    def stop(self) -> None:
        """End all invocations with a named error, give the lease back, end workers and threads."""
        # Every invocation gets an outcome now, and the session's thread still sends it.
        self._served.close()
        # Without an id the thread never started, because `start` failed before.
        if self._thread.ident is not None:
            self._inbox.put(None)
            self._thread.join()
        self._transport.stop()
        self._api.close()
        if self._journal is not None:
            self._journal.close()
        self._sink(ConnectionChanged(ConnectionState.CLOSED))

    # The session's thread

    def _run(self) -> None:
        try:
            while self._step():
                if self._session.leasing.is_serving:
                    self._serving.set()
            self._leave()
        except Exception as error:  # noqa: BLE001  # a relay without this thread must not look alive
            self._fail(stage_errors.relay_failed(error))

    def _step(self) -> bool:
        """Do the next thing; return False when it is time to leave."""
        now = time.monotonic()
        if now - self._observed_at >= _OBSERVE_SECONDS:
            self._observed_at = now
            self._carry_out(self._observe(now))
        if self._forwarding is not None and now - self._forwarded_at >= FORWARD_SECONDS:
            self._carry_out(self._forward(self._forwarding, now))
        try:
            item = self._inbox.get(timeout=max(0.0, self._session.next_tick(now) - now))
        except queue.Empty:
            self._carry_out(self._session.tick(time.monotonic()))
            return True
        if item is None:
            return False
        self._carry_out(self._take(item))
        return True

    def _leave(self) -> None:
        """Give the lease back, and wait until the broker confirms it.

        Otherwise it would look like a lost connection, and stubs would wait for this relay.
        """
        self._carry_out(self._session.leasing.goodbye())
        until = time.monotonic() + _GOODBYE_SECONDS
        while self._session.leasing.held:
            left = until - time.monotonic()
            if left <= 0:
                return
            try:
                item = self._inbox.get(timeout=left)
            except queue.Empty:
                return
            if item is not None:
                self._carry_out(self._take(item))

    def _observe(self, now: float) -> list[Effect]:
        """React to a sleep of this machine or a change of its network."""
        observation = self._surroundings.observe(now, time.time(), self._transport.peer())
        if observation is Observation.NOTHING:
            return []
        _log.debug("this machine: %s", observation.name)
        self._transport.try_now()
        if observation is Observation.ADDRESS_CHANGED:
            return self._session.leasing.network_changed()
        return self._session.leasing.woke(now)

    def _forward(self, forwarding: Forwarding, now: float) -> list[Effect]:
        """Send the lines that running handlers have printed.

        A handler's last lines travel with its result.
        """
        if not self._session.leasing.held:
            return []
        self._forwarded_at = now
        effects: list[Effect] = []
        for request_id, printed in forwarding.next_messages().items():
            sent = self._session.invocations.printed(request_id, printed)
            if not sent:
                forwarding.end(request_id)  # it has ended meanwhile
            effects += sent
        return effects

    def _take(self, item: Item) -> list[Effect]:
        now = time.monotonic()
        match item:
            case ThreadEnded(error=error):
                raise error  # ends this thread, and the relay with it
            case ClockRead(offset_s=offset_s):
                return self._clock_read(offset_s)
            case Opened(connection=connection):
                self._forbidden_since = None
                return self._session.leasing.opened(connection, now)
            case Closed(connection=connection, reason=reason, retry_in_s=retry_in_s):
                self._last_loss = reason
                self._count_refusals(item, now)
                return self._session.leasing.closed(connection, now, reason, retry_in_s)
            case TextReceived(connection=connection, text=text):
                return self._received(connection, text, now)
            case StreamBegan() | PieceWritten() | HandlerEnded():
                return self._from_handler(item, now)
            case Serve() as change:
                return self._serve(change, now)

    def _from_handler(
        self, item: StreamBegan | PieceWritten | HandlerEnded, now: float
    ) -> list[Effect]:
        match item:
            case StreamBegan(attempt=attempt, content_type=content_type):
                self._session.invocations.stream_began(attempt, content_type)
                return []
            case PieceWritten(attempt=attempt, data=data):
                return self._session.invocations.written(attempt, data, now)
            case HandlerEnded():
                return self._handler_ended(item, now)

    def _handler_ended(self, ended: HandlerEnded, now: float) -> list[Effect]:
        _log.debug("invocation %s has ended", ended.request_id)
        self._running.seen(ended.attempt)
        logs = NOTHING_PRINTED
        if self._forwarding is not None:
            logs = self._forwarding.end(ended.request_id)
        return self._session.invocations.finished(
            ended.attempt,
            replace(ended.result.outcome, logs=logs),
            ended.result.handler_ms,
            now,
            answered_by_lambda=ended.result.timed_out,
            waited_ms=ended.result.waited_ms,
            first_byte_ms=ended.result.first_byte_ms,
        )

    def _clock_read(self, offset_s: float) -> list[Effect]:
        """Warn of a clock that differs from AWS's."""
        warning = clock_warning(offset_s)
        if warning is None:
            return []
        return [Publish(warning)]

    def _serve(self, change: Serve, now: float) -> list[Effect]:
        """Hand invocations to other pools from now on."""
        self._pools = change.pools
        if self._failure is None:
            self._serving.clear()
        change.taken.set()
        names = {arn: pool.function.shown_name for arn, pool in change.pools.items()}
        return self._session.serve(tuple(change.pools), names, now)

    def _count_refusals(self, closed: Closed, now: float) -> None:
        """Give up when the gateway has refused these credentials for too long."""
        if not closed.refused_with:
            self._forbidden_since = None
            return
        if self._forbidden_since is None:
            self._forbidden_since = now
        too_long = now - self._forbidden_since >= _FORBIDDEN_SECONDS
        if too_long and not self._ready.is_set():
            self._fail(stage_errors.forbidden(closed.refused_with, closed.reason))

    def _received(self, connection: int, text: str, now: float) -> list[Effect]:
        try:
            message = decode(text)
            _log.debug("connection %s: received %s", connection, message.ACTION)
            return self._session.received(connection, message, now, int(time.time() * 1000))
        except GatewayError:
            # The message that was lost is sent again, so this is only a warning.
            text = (
                "the debug stack's broker failed or was throttled (its log group tells more);"
                " going on"
            )
            self._warn_rarely("broker-failed", text, now)
        except ProtocolError as error:
            text = f"a message was not understood and is ignored: {error}"
            self._warn_rarely("malformed-message", text, now)
        return []

    def _warn_rarely(self, reference: str, text: str, now: float) -> None:
        warned_at = self._warned_at.get(reference)
        if warned_at is None or now - warned_at >= _SAME_WARNING_SECONDS:
            self._warned_at[reference] = now
            self._sink(Warned(reference, text))

    # Effects

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(connection=connection, message=message):
                    _log.debug("connection %s: sends %s", connection, message.ACTION)
                    self._transport.send(connection, encode(message))
                case Run() | LetWrite():
                    self._change_invocation(effect)
                case Remember(request_id=request_id, seen=seen):
                    if self._journal is not None:
                        self._journal.add(request_id, seen)
                case Publish(event=event):
                    self._publish(event)
                case Renew():
                    self._transport.renew()
                case Close(connection=connection, why=why):
                    self._transport.close(connection, why)
                case Stop():
                    self._stop_by_itself(effect)

    def _change_invocation(self, effect: Run | LetWrite) -> None:
        """Have a pool run an invocation, or let it write more of its streamed response."""
        if isinstance(effect, LetWrite):
            self._running.let_write(effect.attempt, effect.consumed)
            return
        invocation = effect.invocation
        _log.debug("invocation %s of %s", invocation.request_id, invocation.function)
        pool = self._pools[invocation.function]
        if self._taken is not None:
            self._taken(pool.function.shown_name, invocation)
        self._running.run(invocation, pool, effect.replaces)

    def _publish(self, event: RelayEvent) -> None:
        # Whoever waits for the connection shows what follows from it, after this event.
        self._sink(event)
        if isinstance(event, ConnectionChanged) and event.state is ConnectionState.CONNECTED:
            self._ready.set()

    def _stop_by_itself(self, stop: Stop) -> None:
        """Stop, because another relay holds the stage."""
        holder = f"{stop.owner} on {stop.machine}"
        stage = self._settings.stage
        if stop.reason is StopReason.TAKEN_OVER:
            self._sink(ConnectionChanged(ConnectionState.TAKEN_OVER, holder))
            self._fail(stage_errors.taken_over_by(stage, holder))
            return
        self._sink(ConnectionChanged(ConnectionState.REFUSED, holder))
        identity = self._settings.identity
        mine = stop.owner == identity.owner and stop.machine == identity.machine
        self._fail(stage_errors.held_by(stage, stop.owner, stop.machine, stop.since_ms, mine=mine))

    def _fail(self, error: TerraliveError) -> None:
        _log.debug("the relay stops by itself: %s", error.reference)
        self._failure = error
        self._serving.set()
        self._ready.set()
        self._over.set()

    # Calls from other threads: the transport's, pools' and the watcher's

    def _report_ended(self, invocation: Invocation, result: PoolResult) -> None:
        self._inbox.put(HandlerEnded(invocation.request_id, invocation.attempt, result))

    def _thread_failed(self, error: Exception) -> None:
        self._inbox.put(ThreadEnded(error))

    def _publish_from_pool(self, event: RelayEvent) -> None:
        if self._forwarding is not None and isinstance(event, LogLine):
            self._forwarding.add(event)
        self._sink(event)

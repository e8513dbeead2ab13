"""A relay that stops leaves no thread, socket, pipe or process behind, whatever it is doing."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from terralive_relay.events import (
    ConnectionChanged,
    ConnectionState,
    InvocationStarted,
    RelayEvent,
    Reloaded,
    Sink,
    Warned,
)
from terralive_relay.relay import Relay
from terralive_relay.session.leasing import RENEW_SECONDS, RelayIdentity
from terralive_relay.settings import RelaySettings
from terralive_stub.errors import ConfigurationError, StageHeldError, TerraliveError
from terralive_stub.protocol.chunks import Assembler, split
from terralive_stub.protocol.invocation import Outcome
from terralive_stub.protocol.messages import (
    Ack,
    Chunk,
    Goodbye,
    Heartbeat,
    Hello,
    Kind,
    LeaseRefused,
    Released,
    Welcome,
)
from terralive_stub.protocol.payloads import pack_invocation, unpack_outcome
from terralive_stub.protocol.wire import decode, encode
from terralive_stub.shared.sigv4 import Credentials
from terralive_testing.drivers.signed_requests import SECRET
from terralive_testing.drivers.workers import ARN, Recorder, invocation, local_function, save
from terralive_testing.machine.processes import descendants, running
from terralive_testing.machine.waiting import eventually
from terralive_workers.function import Build

CALLER = "arn:aws:iam::123456789012:user/ana"
QUICK = "def handler(event, context): return event"
GATED = """
    import pathlib, time
    def handler(event, context):
        pathlib.Path("running").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
        return "before"
    """
ENDLESS = """
    import subprocess, time
    def handler(event, context):
        subprocess.Popen(["sleep", "1000"])
        open("running", "w").close()
        time.sleep(1000)
    """


@dataclass
class DebugStack:
    """Gives the lease to every relay, or refuses it, and keeps the relay's answers."""

    held: bool = False
    deaf: bool = False
    connections: list[ServerConnection] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    told: list[tuple[str, ...]] = field(default_factory=list)
    _assembler: Assembler = field(default_factory=Assembler)
    # Held from the moment at which a connection is known until the relay has its welcome.
    _welcoming: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, connection: ServerConnection) -> None:
        try:
            for text in connection:
                self._take(connection, str(text))
        except ConnectionClosed:
            return

    def _take(self, connection: ServerConnection, text: str) -> None:
        match decode(text):
            case Hello() if self.deaf:
                connection.close()
            case Hello() if self.held:
                connection.send(encode(LeaseRefused("ben", "bens-laptop", 0)))
            case Hello(relay=relay, functions=functions):
                self.told.append(functions)
                self._welcome(connection, relay)
            case Heartbeat(relay=relay):
                self._welcome(connection, relay)
            case Goodbye(relay=relay):
                connection.send(encode(Released(relay)))
            case Ack(request_id=request_id):
                self.acknowledged.append(request_id)
            case Chunk() as chunk:
                payload = self._assembler.add(chunk, 0.0)
                if payload is not None:
                    self.outcomes.append(unpack_outcome(payload))

    def _welcome(self, connection: ServerConnection, relay: str) -> None:
        with self._welcoming:
            self.connections.append(connection)
            connection.send(encode(Welcome(relay, 2**40, 20_000)))

    def invoke(self, function: str = ARN) -> None:
        sent = replace(invocation({"order": 1}, seconds=900), function_arn=function)
        payload = pack_invocation(sent, now=time.monotonic())
        with self._welcoming:
            connection = self.connections[-1]
        for chunk in split(Kind.INVOKE, sent.request_id, function, payload, peer="stub"):
            connection.send(encode(chunk))


@contextmanager
def serving(stack: Callable[[ServerConnection], None]) -> Iterator[str]:
    with serve(stack, "127.0.0.1", 0, compression=None, max_size=2**20) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/relay"
        finally:
            server.shutdown()
            thread.join()


def held(others: Collection[int]) -> set[tuple[str, object]]:
    """Threads, processes and (where the system shows them) descriptors of this process.

    `others`: processes of other tests, for example a sandbox, which may start more at any time.
    """
    gc.collect()  # a socket that nobody closed is a ResourceWarning, which fails the test
    found: set[tuple[str, object]] = {("thread", thread.name) for thread in threading.enumerate()}
    found |= {("process", pid) for pid in running(descendants(os.getpid(), without=others))}
    folder = Path("/proc/self/fd")
    for descriptor in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):  # the listing's own
            found.add(("descriptor", str(descriptor.readlink())))
    return found


@contextmanager
def started(
    folder: Path,
    url: str,
    code: str = QUICK,
    *,
    build: str = "",
    watch: tuple[str, ...] = ("source",),
    renew_after_s: float = RENEW_SECONDS,
    tell: Sink | None = None,
) -> Iterator[Relay]:
    """A relay; after it has stopped, everything that came with it is gone."""
    others = descendants(os.getpid())
    before = held(others)
    identity = RelayIdentity("life", (ARN,), "ana", "laptop")
    function = replace(local_function(folder, code), watch=watch)
    if build:
        function = replace(function, build=Build(build, folder))
    settings = RelaySettings(url, "eu-west-1", "dev", identity, (function,), CALLER, SECRET)
    credentials = Credentials("AKID", "secret")
    relay = Relay(
        settings,
        lambda: credentials,
        tell or Recorder(),
        backoff_scale=0.1,
        renew_after_s=renew_after_s,
    )
    try:
        relay.start()
        yield relay
    finally:
        relay.stop()
    left = {
        item
        for item in held(others) - before
        if item[0] != "descriptor" and not str(item[1]).startswith("Thread-")
    }
    assert left == set()
    # The debug stack's ends of the connections are this process's, too.
    eventually(lambda: not held(others) - before)


def test_a_relay_that_cannot_serve_one_of_its_functions_leaves_nothing(tmp_path: Path) -> None:
    others = descendants(os.getpid())
    before = held(others)
    fine = local_function(tmp_path)
    other = replace(fine, name="other", arn=f"{ARN}-2", runtime="java21")
    identity = RelayIdentity("life", (ARN, other.arn), "ana", "laptop")
    settings = RelaySettings(
        "ws://127.0.0.1:1", "eu-west-1", "dev", identity, (fine, other), CALLER, SECRET
    )
    with pytest.raises(ConfigurationError, match="java21"):
        Relay(settings, lambda: Credentials("AKID", "secret"), Recorder())
    eventually(lambda: not held(others) - before)


@pytest.mark.parametrize("kind", [ConnectionChanged, InvocationStarted])
def test_an_exception_that_nobody_expects_ends_the_relay_by_name_and_leaves_nothing(
    tmp_path: Path, kind: type[RelayEvent]
) -> None:
    stack = DebugStack()

    def tell(event: RelayEvent) -> None:
        if isinstance(event, kind) and not relay_has_failed:
            relay_has_failed.append(True)
            raise ZeroDivisionError("a defect")

    relay_has_failed: list[bool] = []
    with serving(stack) as url, started(tmp_path, url, tell=tell) as relay:
        eventually(lambda: stack.connections, seconds=30)
        stack.invoke()
        with pytest.raises(TerraliveError) as failed:
            relay.wait(30)
        assert failed.value.reference == "relay-failed"
        assert "ZeroDivisionError: a defect" in failed.value.message


def test_a_connection_is_told_before_the_wait_for_it_ends(tmp_path: Path) -> None:
    order: list[str] = []
    may_go_on = threading.Event()

    def tell(event: RelayEvent) -> None:
        if isinstance(event, ConnectionChanged) and event.state is ConnectionState.CONNECTED:
            may_go_on.wait(30)
            order.append("told")

    with serving(DebugStack()) as url, started(tmp_path, url, tell=tell) as relay:

        def wait() -> None:
            relay.wait_connected(30)
            order.append("waited")

        waiter = threading.Thread(target=wait)
        waiter.start()
        # Time in which the wait could end too early.
        waiter.join(0.5)
        may_go_on.set()
        waiter.join()
    assert order[:2] == ["told", "waited"]


def test_an_exception_in_a_thread_of_a_relay_ends_the_relay_by_name_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    stack = DebugStack()
    with serving(stack) as url, started(tmp_path, url) as relay:
        relay.wait_connected(30)
        relay._transport.send(1, "\ud800")  # no text: the writer's thread cannot send it
        with pytest.raises(TerraliveError) as failed:
            relay.wait(30)
        assert failed.value.reference == "relay-failed"
        assert "UnicodeEncodeError" in failed.value.message


def test_an_address_of_no_websocket_is_refused_by_name_and_leaves_nothing(tmp_path: Path) -> None:
    others = descendants(os.getpid())
    before = held(others)
    identity = RelayIdentity("life", (ARN,), "ana", "laptop")
    function = local_function(tmp_path)
    settings = RelaySettings(
        "ftp://host",
        "eu-west-1",
        "dev",
        identity,
        (function,),
        CALLER,
        SECRET,
        tmp_path / "seen",
    )
    with pytest.raises(ConfigurationError) as refused:
        Relay(settings, lambda: Credentials("AKID", "secret"), Recorder())
    assert refused.value.reference == "relay-url-invalid"
    eventually(lambda: not held(others) - before)


def test_an_idle_relay_with_a_worker_leaves_nothing(tmp_path: Path) -> None:
    stack = DebugStack()
    with serving(stack) as url, started(tmp_path, url) as relay:
        relay.wait_connected(30)
        stack.invoke()
        eventually(lambda: len(stack.outcomes) == 1, seconds=30)
    assert stack.outcomes[0].ok


def test_a_relay_builds_what_it_runs_also_after_an_edit_and_a_build_under_way_ends_with_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "source").write_text("def handler(event, context): return 1")
    stack, tell = DebugStack(), Recorder()
    command = "cp source app.py; grep -q endless app.py && sleep 1000; echo done"
    with (
        serving(stack) as url,
        started(tmp_path, url, "not built", build=command, tell=tell) as relay,
    ):
        relay.wait_connected(30)
        stack.invoke()
        eventually(lambda: [outcome.body for outcome in stack.outcomes] == [b"1"], seconds=30)
        save(tmp_path / "source", "def handler(event, context): return 2")
        tell.wait_for("done", times=2)
        stack.invoke()
        eventually(lambda: [outcome.body for outcome in stack.outcomes] == [b"1", b"2"], seconds=30)
        eventually(lambda: bool(tell.of_type(Reloaded)), seconds=30)
        assert tell.of_type(Reloaded)[0] == Reloaded("orders", ("source",))
        save(tmp_path / "source", "endless")
        eventually(lambda: (tmp_path / "app.py").read_text() == "endless", seconds=30)


def test_a_syntax_error_is_reported_at_once_also_before_the_first_invocation(
    tmp_path: Path,
) -> None:
    stack, tell = DebugStack(), Recorder()
    with serving(stack) as url, started(tmp_path, url, tell=tell, watch=("*.py",)) as relay:
        relay.wait_connected(30)
        save(tmp_path / "app.py", "x = 1\ndef handler(:")
        eventually(lambda: bool(tell.of_type(Warned)), seconds=30)
    assert tell.of_type(Warned)[0].message.startswith("app.py:2: ")


def other_folder(folder: Path, answer: str) -> Path:
    code = folder / answer
    code.mkdir()
    (code / "app.py").write_text(f"def handler(event, context): return {answer!r}")
    return code


def test_other_functions_are_served_from_now_on_and_what_runs_is_not_dropped(
    tmp_path: Path,
) -> None:
    stack, tell = DebugStack(), Recorder()
    with serving(stack) as url, started(tmp_path, url, GATED, tell=tell) as relay:
        relay.wait_connected(30)
        stack.invoke()
        eventually((tmp_path / "running").exists, seconds=30)
        changed = replace(
            local_function(tmp_path, GATED), path=other_folder(tmp_path, "changed"), watch=()
        )
        new = replace(changed, name="new", arn=f"{ARN}-new", path=other_folder(tmp_path, "new"))
        relay.serve((changed, new), 30)
        assert stack.told == [(ARN,), (ARN, new.arn)]
        stack.invoke()
        eventually(lambda: len(stack.outcomes) == 1, seconds=30)
        stack.invoke(new.arn)
        eventually(lambda: len(stack.outcomes) == 2, seconds=30)
        (tmp_path / "go").touch()
        eventually(lambda: len(stack.outcomes) == 3, seconds=30)
        assert [outcome.body for outcome in stack.outcomes] == [b'"changed"', b'"new"', b'"before"']
        # Edits of the new code are seen, and nobody watches the earlier code.
        (tmp_path / "source").touch()
        save(new.path / "app.py", "def handler(event, context): return 'edited'")
        eventually(lambda: bool(tell.of_type(Reloaded)), seconds=30)
        stack.invoke(new.arn)
        eventually(lambda: stack.outcomes[-1].body == b'"edited"', seconds=30)
    assert {event.function for event in tell.of_type(Reloaded)} == {"new"}
    states = [event.state for event in tell.of_type(ConnectionChanged)]
    assert states == [ConnectionState.CONNECTED, ConnectionState.CLOSED]


def test_functions_that_stay_the_same_keep_their_workers_and_the_broker_is_told_nothing(
    tmp_path: Path,
) -> None:
    stack = DebugStack()
    others = descendants(os.getpid())

    def workers() -> list[int]:
        return running(descendants(os.getpid(), without=others))

    with serving(stack) as url, started(tmp_path, url) as relay:
        relay.wait_connected(30)
        stack.invoke()
        eventually(lambda: len(stack.outcomes) == 1, seconds=30)
        before = workers()
        relay.serve((replace(local_function(tmp_path, QUICK), watch=("source",)),), 30)
        assert stack.told == [(ARN,)]
        assert workers() == before


def test_functions_that_cannot_run_here_are_refused_and_those_of_before_are_served_on(
    tmp_path: Path,
) -> None:
    stack = DebugStack()
    with serving(stack) as url, started(tmp_path, url) as relay:
        relay.wait_connected(30)
        java = replace(local_function(tmp_path, QUICK), runtime="java21")
        with pytest.raises(ConfigurationError, match="java21"):
            relay.serve((java,), 30)
        stack.invoke()
        eventually(lambda: len(stack.outcomes) == 1, seconds=30)
        assert stack.outcomes[0].ok


def test_a_refused_relay_cannot_serve_other_functions(tmp_path: Path) -> None:
    stack = DebugStack(held=True)
    with serving(stack) as url, started(tmp_path, url) as relay:
        with pytest.raises(StageHeldError):
            relay.wait_connected(30)
        other = replace(local_function(tmp_path, QUICK), max_workers=1)
        with pytest.raises(StageHeldError):
            relay.serve((other,), 30)


def test_stopping_ends_a_running_handler_and_its_children_and_its_caller_gets_an_error(
    tmp_path: Path,
) -> None:
    stack = DebugStack()
    with serving(stack) as url, started(tmp_path, url, ENDLESS) as relay:
        relay.wait_connected(30)
        stack.invoke()
        eventually((tmp_path / "running").exists, seconds=30)
    eventually(lambda: len(stack.outcomes) == 1, seconds=30)
    assert stack.outcomes[0].error_type == "Terralive.Stopped"


def test_stopping_while_a_worker_starts_leaves_nothing(tmp_path: Path) -> None:
    stack = DebugStack()
    with (
        serving(stack) as url,
        started(tmp_path, url, f"import time; time.sleep(1000)\n{QUICK}") as relay,
    ):
        relay.wait_connected(30)
        stack.invoke()
        eventually(lambda: len(stack.acknowledged) == 1, seconds=30)


def test_stopping_while_connecting_leaves_nothing(tmp_path: Path) -> None:
    asked = threading.Event()

    def never_answer(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            while peer.recv(65536):
                asked.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=never_answer, args=(listener,))
        thread.start()
        with started(tmp_path, f"ws://127.0.0.1:{listener.getsockname()[1]}/relay"):
            assert asked.wait(30)
        thread.join()


def test_stopping_before_the_lease_is_given_leaves_nothing(tmp_path: Path) -> None:
    asked = threading.Event()

    def silent(connection: ServerConnection) -> None:
        connection.recv()
        asked.set()
        with contextlib.suppress(ConnectionClosed):
            connection.recv()

    with serving(silent) as url, started(tmp_path, url):
        assert asked.wait(30)


def test_stopping_while_reconnecting_leaves_nothing(tmp_path: Path) -> None:
    reported: list[RelayEvent] = []
    stack = DebugStack()
    with serving(stack) as url, started(tmp_path, url, ENDLESS, tell=reported.append) as relay:
        relay.wait_connected(30)
        stack.invoke()
        eventually((tmp_path / "running").exists, seconds=30)
        stack.deaf = True
        stack.connections[-1].close()
        eventually(
            lambda: any(
                isinstance(event, ConnectionChanged) and event.state is ConnectionState.LOST
                for event in reported
            ),
            seconds=30,
        )


def test_stopping_while_two_connections_are_open_leaves_nothing(tmp_path: Path) -> None:
    stack = DebugStack()
    with serving(stack) as url, started(tmp_path, url, renew_after_s=0.1) as relay:
        relay.wait_connected(30)
        # The next ones follow soon, so there may be more already.
        eventually(lambda: len(stack.connections) >= 2, seconds=30)


def test_a_relay_that_was_refused_the_stage_leaves_nothing(tmp_path: Path) -> None:
    with (
        serving(DebugStack(held=True)) as url,
        started(tmp_path, url) as relay,
        pytest.raises(StageHeldError),
    ):
        relay.wait_connected(30)

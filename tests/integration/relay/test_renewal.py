"""The two hours of a connection, made short.

The lease moves to the next one while invocations go on.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
from pathlib import Path

from terralive_relay.events import ConnectionChanged, InvocationStarted, RelayEvent, Warned
from terralive_relay.relay import Relay
from terralive_relay.session.leasing import RelayIdentity
from terralive_relay.settings import RelaySettings
from terralive_sandbox.info import SandboxInfo
from terralive_stub.shared.sigv4 import Credentials
from terralive_testing.deployers.sandbox import Aws
from terralive_testing.deployers.stage import deploy
from terralive_testing.machine.waiting import eventually
from terralive_workers.function import LocalFunction

HANDLER = """
import time

def handler(event, context):
    time.sleep(event["takes"])
    return event["number"]
"""
RENEWALS = 3


def newest_connection() -> int:
    names = [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("relay-connection-")
    ]
    return max((int(name.rpartition("-")[2]) for name in names), default=0)


def test_a_connection_is_renewed_without_a_refusal_a_loss_or_a_handler_that_runs_twice(
    sandbox: SandboxInfo, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(HANDLER)
    aws = Aws(sandbox)
    stage = deploy(aws, tmp_path / "zips", {"fn": 30})
    name = stage.functions["fn"]
    events: queue.SimpleQueue[RelayEvent] = queue.SimpleQueue()
    settings = RelaySettings(
        stage.url,
        sandbox.region,
        stage.name,
        RelayIdentity("life", (stage.arns["fn"],), "ana", "laptop"),
        (
            LocalFunction(
                name=name,
                arn=stage.arns["fn"],
                address=name,
                runtime="python3.12",
                handler="app.handler",
                path=tmp_path,
                python=Path(sys.executable),
            ),
        ),
        aws.caller_arn,
        stage.secret,
    )
    keys = Credentials(sandbox.access_key_id, sandbox.secret_access_key)
    relay = Relay(settings, lambda: keys, events.put, renew_after_s=2.0)
    relay.start()
    try:
        relay.wait_connected(30)
        answers: list[tuple[int, object]] = []
        over = threading.Event()

        def call(number: int) -> None:
            while not over.is_set():
                event = {"number": number, "takes": 0.0 if number else 1.5}
                answer = aws.lambda_.invoke(FunctionName=name, Payload=json.dumps(event).encode())
                answers.append((number, json.loads(answer["Payload"].read())))

        callers = [threading.Thread(target=call, args=(number,)) for number in range(3)]
        for caller in callers:
            caller.start()
        eventually(lambda: newest_connection() > RENEWALS)
        over.set()
        for caller in callers:
            caller.join()
        assert all(number == answer for number, answer in answers), answers
    finally:
        relay.stop()
    reported = [events.get() for _ in range(events.qsize())]
    states = [str(event.state) for event in reported if isinstance(event, ConnectionChanged)]
    assert states == ["connected", "closed"], "the relay was without a connection"
    assert not [event for event in reported if isinstance(event, Warned)]
    ids = [event.request_id for event in reported if isinstance(event, InvocationStarted)]
    assert len(ids) == len(set(ids)) == len(answers)

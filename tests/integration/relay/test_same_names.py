"""Two functions of one name in two regions are two functions, with a stub and a pool each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from terralive_relay.events import InvocationFinished, InvocationStarted, LogLine, Reloaded
from terralive_relay.relay import Relay
from terralive_relay.session.leasing import RelayIdentity
from terralive_relay.settings import RelaySettings
from terralive_sandbox.info import SandboxInfo
from terralive_stub.shared.sigv4 import Credentials
from terralive_terraform.artifacts import STUB_HANDLER, StubCoordinates, build_stub_zip
from terralive_testing.deployers.sandbox import Aws
from terralive_testing.deployers.stage import deploy
from terralive_testing.drivers.workers import Recorder, save
from terralive_testing.machine.waiting import eventually
from terralive_workers.function import LocalFunction, with_labels

HANDLER = """
import os

def handler(event, context):
    print("one line")
    return ["{place}", os.environ["AWS_REGION"], context.invoked_function_arn]
"""


def invoke(aws: Aws, arn: str) -> object:
    answer = aws.lambda_.invoke(FunctionName=arn, Payload=b"{}")
    return json.loads(answer["Payload"].read())


def test_each_runs_its_own_code_and_is_edited_and_shown_by_itself(
    sandbox: SandboxInfo, tmp_path: Path
) -> None:
    here = Aws(sandbox)
    there = here.in_region("us-west-2")
    stage = deploy(here, tmp_path / "zips", {"fn": 30})
    name = stage.functions["fn"]
    coordinates = StubCoordinates(stage.stub_url, "test", stage.name, stage.secret)
    stub = build_stub_zip(coordinates, tmp_path / "zips").path.read_bytes()
    arns = [stage.arns["fn"], there.function(stub, handler=STUB_HANDLER, timeout=30, name=name)]
    functions: list[LocalFunction] = []
    for place, arn in zip(("here", "there"), arns, strict=True):
        folder = tmp_path / place
        folder.mkdir()
        (folder / "app.py").write_text(HANDLER.format(place=place))
        functions.append(
            LocalFunction(
                name=name,
                arn=arn,
                address=f"aws_lambda_function.{place}",
                runtime="python3.12",
                handler="app.handler",
                path=folder,
                python=Path(sys.executable),
            )
        )
    shown = [f"{name} ({sandbox.region})", f"{name} (us-west-2)"]
    events = Recorder()
    settings = RelaySettings(
        stage.url,
        sandbox.region,
        stage.name,
        RelayIdentity("life", tuple(arns), "ana", "laptop"),
        with_labels(functions),
        here.caller_arn,
        stage.secret,
    )
    keys = Credentials(sandbox.access_key_id, sandbox.secret_access_key)
    relay = Relay(settings, lambda: keys, events)
    try:
        relay.start()
        relay.wait_connected(60)

        assert invoke(here, arns[0]) == ["here", sandbox.region, arns[0]]
        assert invoke(there, arns[1]) == ["there", "us-west-2", arns[1]]

        save(tmp_path / "there" / "app.py", HANDLER.format(place="edited"))
        eventually(lambda: events.of_type(Reloaded), "the reload")
        assert {event.function for event in events.of_type(Reloaded)} == {shown[1]}
        assert invoke(here, arns[0]) == ["here", sandbox.region, arns[0]]
        assert invoke(there, arns[1]) == ["edited", "us-west-2", arns[1]]
    finally:
        relay.stop()

    started = [event.function for event in events.of_type(InvocationStarted)]
    finished = [event.function for event in events.of_type(InvocationFinished)]
    printed = [event.function for event in events.of_type(LogLine)]
    assert started == finished == printed == [*shown, *shown]

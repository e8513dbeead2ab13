"""A relay in a process of its own, whose events a test reads.

`python -m terralive_testing.drivers.relay_process` reads its settings as JSON from the first line
of stdin, writes its events as JSON lines, and stops when stdin ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from terralive_relay.events import RelayEvent
from terralive_relay.relay import Relay
from terralive_relay.session.leasing import RelayIdentity
from terralive_relay.settings import RelaySettings
from terralive_sandbox.info import SandboxInfo
from terralive_stub.protocol.invocation import name_of
from terralive_stub.shared.sigv4 import Credentials
from terralive_testing.deployers.stage import Stage
from terralive_testing.drivers.command import clean_environment
from terralive_testing.machine.waiting import eventually
from terralive_workers.function import LocalFunction

Event = dict[str, Any]


class RelayProcess:
    """A running relay and the events that it has reported so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.pid = process.pid
        self.events: list[Event] = []
        self._process = process
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def of_type(self, kind: str, **fields: object) -> list[Event]:
        """Return the events of a class (by its name) with these fields."""
        events = [event for event in list(self.events) if event["type"] == kind]
        return [
            event for event in events if all(event[key] == value for key, value in fields.items())
        ]

    @property
    def connected(self) -> bool:
        """True while the relay reports that it holds the stage."""
        states = self.of_type("ConnectionChanged")
        return bool(states) and states[-1]["state"] == "connected"

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join(10)
            assert self._process.stdout is not None
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.events.append(json.loads(line))


@contextmanager
def relay_process(
    info: SandboxInfo,
    stage: Stage,
    code: Path,
    caller_arn: str,
    *,
    url: str = "",
    own: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[RelayProcess]:
    """Run a relay for a stage's functions. Yields it connected.

    Args:
        info: the sandbox.
        stage: the stage.
        code: the folder of app.py.
        caller_arn: the developer's ARN.
        url: the address to connect to, if it is not the stage's own.
        own: the path, runtime, handler or node of single functions, by the stage's keys.
    """
    functions = {}
    for key, arn in stage.arns.items():
        functions[arn] = {"path": str(code), **(own or {}).get(key, {})}
    settings = {
        "url": url or stage.url,
        "region": info.region,
        "stage": stage.name,
        "keys": [info.access_key_id, info.secret_access_key],
        "caller_arn": caller_arn,
        "secret": stage.secret.hex(),
        "functions": functions,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "terralive_testing.drivers.relay_process"],
        env=clean_environment({"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    relay = RelayProcess(process)
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(settings) + "\n")
        process.stdin.flush()
        eventually(lambda: relay.connected)
        yield relay
    finally:
        relay.close()


def _main() -> None:
    settings = json.loads(sys.stdin.readline())
    writing = threading.Lock()

    def tell(event: RelayEvent) -> None:
        with writing:
            print(json.dumps({**event.to_json(), "type": type(event).__name__}), flush=True)

    functions = tuple(
        LocalFunction(
            name=name_of(arn),
            arn=arn,
            address=name_of(arn),
            runtime=given.get("runtime", "python3.12"),
            handler=given.get("handler", "app.handler"),
            path=Path(given["path"]),
            python=Path(sys.executable),
            node=Path(given.get("node", "node")),
        )
        for arn, given in settings["functions"].items()
    )
    identity = RelayIdentity(f"relay-{os.getpid()}", tuple(settings["functions"]), "ana", "laptop")
    keys = Credentials(*settings["keys"])
    relay = Relay(
        RelaySettings(
            settings["url"],
            settings["region"],
            settings["stage"],
            identity,
            functions,
            settings["caller_arn"],
            bytes.fromhex(settings["secret"]),
        ),
        lambda: keys,
        tell,
    )
    relay.start()
    sys.stdin.read()
    relay.stop()


if __name__ == "__main__":
    _main()

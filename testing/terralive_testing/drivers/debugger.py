"""The editor's side of a breakpoint: clients of the Debug Adapter Protocol and Node's inspector.

https://microsoft.github.io/debug-adapter-protocol/specification: JSON messages with a
`Content-Length` header.
"""

from __future__ import annotations

import itertools
import json
import socket
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx
import websocket

_SECONDS = 60.0

Message = dict[str, Any]


class _Client(ABC):
    """One connection. Messages that arrive out of turn are kept until they are wanted."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._kept: list[Message] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _read(self) -> Message: ...

    def _wait(self, wanted: Mapping[str, object]) -> Message:
        for kept in self._kept:
            if wanted.items() <= kept.items():
                self._kept.remove(kept)
                return kept
        while True:
            message = self._read()
            if wanted.items() <= message.items():
                return message
            self._kept.append(message)


class Dap(_Client):
    """One connection to a debug adapter."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._socket = socket.create_connection(("127.0.0.1", port), _SECONDS)
        self._stream = self._socket.makefile("rb")

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def send(self, command: str, **arguments: object) -> int:
        """Send a request and return its number."""
        number = next(self._numbers)
        body = json.dumps(
            {"seq": number, "type": "request", "command": command, "arguments": arguments}
        ).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        return number

    def answer(self, number: int) -> Message:
        """Wait for the answer to a request and return its body."""
        answer = self._wait({"type": "response", "request_seq": number})
        assert answer["success"], answer
        body: Message = answer.get("body") or {}
        return body

    def ask(self, command: str, **arguments: object) -> Message:
        return self.answer(self.send(command, **arguments))

    def event(self, name: str) -> Message:
        body: Message = self._wait({"type": "event", "event": name}).get("body") or {}
        return body

    def attach(self, breakpoints: Mapping[str, list[int]], **arguments: object) -> None:
        """Attach as an editor does, with breakpoints: line numbers by file."""
        self.ask("initialize", adapterID="debugpy", pathFormat="path", linesStartAt1=True)
        attached = self.send("attach", justMyCode=True, **arguments)
        self.event("initialized")
        for path, lines in breakpoints.items():
            placed = self.ask(
                "setBreakpoints",
                source={"path": path},
                breakpoints=[{"line": line} for line in lines],
            )
            assert [item["verified"] for item in placed["breakpoints"]] == [True] * len(lines), (
                placed
            )
        self.ask("configurationDone")
        self.answer(attached)

    def locals(self, thread: int) -> dict[str, str]:
        """Return the local variables of the top frame of a stopped thread, as text."""
        frame = self.ask("stackTrace", threadId=thread)["stackFrames"][0]
        scopes = self.ask("scopes", frameId=frame["id"])["scopes"]
        reference = next(
            scope["variablesReference"] for scope in scopes if scope["name"] == "Locals"
        )
        variables = self.ask("variables", variablesReference=reference)["variables"]
        return {item["name"]: item["value"] for item in variables}

    def _read(self) -> Message:
        length = 0
        while True:
            line = self._stream.readline().strip()
            if not line:
                break
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, f"the debugger has closed the connection; before: {self._kept}"
        message: Message = json.loads(self._stream.read(length))
        return message


class Inspector(_Client):
    """A client of Node's inspector, like DevTools.

    https://chromedevtools.github.io/devtools-protocol/v8
    """

    def __init__(self, port: int) -> None:
        super().__init__()
        (target,) = httpx.get(f"http://127.0.0.1:{port}/json/list", timeout=_SECONDS).json()
        self._socket = websocket.create_connection(target["webSocketDebuggerUrl"], _SECONDS)

    def close(self) -> None:
        self._socket.close()

    def ask(self, method: str, **parameters: object) -> Message:
        """Send a request, wait for its answer and return its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        answer = self._wait({"id": number})
        assert "error" not in answer, answer
        result: Message = answer["result"]
        return result

    def event(self, method: str) -> Message:
        parameters: Message = self._wait({"method": method})["params"]
        return parameters

    def _read(self) -> Message:
        message: Message = json.loads(self._socket.recv())
        return message

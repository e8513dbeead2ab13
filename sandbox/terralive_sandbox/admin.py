"""The sandbox's own address, `/_sandbox/…`: is it alive, and faults on demand.

Everything but the health check wants the header `x-terralive-sandbox` with this run's id: no web page can send it.
"""

from __future__ import annotations

import json

from . import sigv4
from .answers import Answer, error_answer, json_answer
from .connections import Connections
from .info import SandboxInfo


class Admin:
    """Answers for one run of the sandbox."""

    def __init__(self, info: SandboxInfo, connections: Connections) -> None:
        self._info = info
        self._connections = connections

    def answer(self, request: sigv4.Request) -> Answer:
        if request.path == "/_sandbox/health":
            return json_answer(200, {"id": self._info.id, "pid": self._info.pid})
        if request.header("x-terralive-sandbox") != self._info.id:
            return error_answer(403, "AccessDenied", "The header x-terralive-sandbox has to name this sandbox's id.")
        if request.path == "/_sandbox/faults/drop-connections" and request.method == "POST":
            try:
                ids = json.loads(request.body)["connections"] if request.body else None
            except (ValueError, KeyError, TypeError):
                return error_answer(400, "ValidationException", 'The body is empty or {"connections": [id, …]}.')
            return json_answer(200, {"dropped": self._connections.drop(ids)})
        return error_answer(404, "NotEmulatedBySandbox", f"There is no {request.path} here.")

"""The sandbox's own addresses, `/_sandbox/…`: a health check, refusals and faults on demand.

Every request but the health check needs the header `x-terralive-sandbox` with this run's id, so
that no web page can send it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

from terralive_sandbox import refusals
from terralive_sandbox.access import sigv4
from terralive_sandbox.apigateway.websocket.connections import Connections
from terralive_sandbox.faults import (
    ConnectionChoice,
    FaultRule,
    FaultRules,
    InvalidRuleError,
    executions_from_json,
)
from terralive_sandbox.info import HEALTH_PATH, SandboxInfo
from terralive_sandbox.refusals import Refusals
from terralive_sandbox.responses import Response, error_response, json_response

_log: Final = logging.getLogger("terralive.sandbox")

_WEBSOCKET: Final = "/_sandbox/websocket/"
_FAULTS: Final = "/_sandbox/faults"


class Admin:
    """Answers requests to the sandbox's own addresses. Use it on the event loop."""

    def __init__(
        self,
        info: SandboxInfo,
        connections: Connections,
        faults: FaultRules,
        refused: Refusals,
        occupy: Callable[[int], None],
    ) -> None:
        self._info = info
        # Dropped and expired on demand.
        self._connections = connections
        # Set and cleared on demand; the data planes read them.
        self._faults = faults
        # Occupies executions of Lambda.
        self._occupy = occupy
        # Read by `terralive start`.
        self._refused = refused

    def answer(self, request: sigv4.Request) -> Response:
        """Answer a request below `/_sandbox/`."""
        if request.path == HEALTH_PATH:
            return json_response(HTTPStatus.OK, {"id": self._info.id, "pid": self._info.pid})
        if request.path.startswith(_WEBSOCKET):
            # A request that is no upgrade. No page has AWS's answer to it.
            return json_response(HTTPStatus.FORBIDDEN, {"message": "Forbidden"})
        if request.header(refusals.ID_HEADER) != self._info.id:
            message = "The header x-terralive-sandbox has to name this sandbox's id."
            return error_response(HTTPStatus.FORBIDDEN, "AccessDenied", message)
        if request.path == refusals.PATH:
            after = dict(request.parameters()).get("after", "0")
            last_seen = 0
            if after.isascii() and after.isdigit():
                last_seen = int(after)
            return json_response(HTTPStatus.OK, self._refused.to_json(last_seen))
        try:
            return self._answer_faults(request)
        except InvalidRuleError as error:
            return error_response(HTTPStatus.BAD_REQUEST, "ValidationException", str(error))

    def _answer_faults(self, request: sigv4.Request) -> Response:
        """Answer a request about faults. Raises InvalidRuleError."""
        value: dict[str, object]
        match request.method, request.path.rstrip("/"):
            case (
                "POST",
                "/_sandbox/faults/drop-connections" | "/_sandbox/faults/expire-connections",
            ):
                value = self._end_connections(request)
            case "POST", "/_sandbox/faults/occupy-executions":
                executions = executions_from_json(request.body)
                self._occupy(executions)
                value = {"occupied": executions}
            case "POST", "/_sandbox/faults":
                rule = FaultRule.from_json(request.body)
                rule_id = self._faults.set(rule)
                _log.debug("fault rule %s set: %s", rule_id, rule.kind)
                value = {"id": rule_id}
            case "GET", "/_sandbox/faults":
                value = {"faults": self._faults.listed()}
            case "DELETE", "/_sandbox/faults":
                value = {"cleared": self._faults.clear()}
            case "DELETE", path if path.startswith(f"{_FAULTS}/"):
                rule_id = unquote(path.removeprefix(f"{_FAULTS}/"))
                value = {"cleared": self._faults.clear(rule_id)}
            case method, path:
                message = f"There is no {method} {path} here."
                return error_response(HTTPStatus.NOT_FOUND, "NotEmulatedBySandbox", message)
        return json_response(HTTPStatus.OK, value)

    def _end_connections(self, request: sigv4.Request) -> dict[str, object]:
        """Drop or expire connections, as the path says. Raises InvalidRuleError."""
        sockets = self._connections.chosen(ConnectionChoice.from_json(request.body))
        if request.path.rstrip("/").endswith("/drop-connections"):
            for socket in sockets:
                # Without a close frame.
                socket.drop()
            return {"dropped": len(sockets)}
        for socket in sockets:
            # As after two hours.
            socket.expire()
        return {"expired": len(sockets)}

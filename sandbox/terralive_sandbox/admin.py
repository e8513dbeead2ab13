"""The sandbox's own address, `/_sandbox/…`: is it alive, and faults on demand.

Everything but the health check wants the header `x-terralive-sandbox` with this run's id: no web
page can send it.
"""

from __future__ import annotations

from urllib.parse import unquote

from terralive_sandbox.access import sigv4
from terralive_sandbox.apigateway.websocket.connections import Connections
from terralive_sandbox.faults import ConnectionChoice, FaultRule, FaultRules, InvalidRuleError
from terralive_sandbox.info import SandboxInfo
from terralive_sandbox.responses import Response, error_response, json_response

_FAULTS = "/_sandbox/faults"


class Admin:
    """Answers for one run of the sandbox."""

    def __init__(self, info: SandboxInfo, connections: Connections, faults: FaultRules) -> None:
        self._info = info
        self._connections = connections
        self._faults = faults

    def answer(self, request: sigv4.Request) -> Response:
        if request.path == "/_sandbox/health":
            return json_response(200, {"id": self._info.id, "pid": self._info.pid})
        if request.path.startswith(
            "/_sandbox/websocket/"
        ):  # a request that is no upgrade; no page says what AWS says
            return json_response(403, {"message": "Forbidden"})
        if request.header("x-terralive-sandbox") != self._info.id:
            return error_response(
                403, "AccessDenied", "The header x-terralive-sandbox has to name this sandbox's id."
            )
        try:
            return self._fault(request)
        except InvalidRuleError as error:
            return error_response(400, "ValidationException", str(error))

    def _fault(self, request: sigv4.Request) -> Response:
        value: dict[str, object]
        match request.method, request.path.rstrip("/"):
            case "POST", "/_sandbox/faults/drop-connections":
                value = {
                    "dropped": self._connections.drop(ConnectionChoice.from_json(request.body))
                }
            case "POST", "/_sandbox/faults/expire-connections":
                value = {
                    "expired": self._connections.expire(ConnectionChoice.from_json(request.body))
                }
            case "POST", "/_sandbox/faults":
                value = {"id": self._faults.set(FaultRule.from_json(request.body))}
            case "GET", "/_sandbox/faults":
                value = {"faults": self._faults.listed()}
            case "DELETE", "/_sandbox/faults":
                value = {"cleared": self._faults.clear()}
            case "DELETE", path if path.startswith(f"{_FAULTS}/"):
                value = {"cleared": self._faults.clear(unquote(path.removeprefix(f"{_FAULTS}/")))}
            case method, path:
                return error_response(
                    404, "NotEmulatedBySandbox", f"There is no {method} {path} here."
                )
        return json_response(200, value)

"""The calls of the Runtime API: each request becomes one call of a worker's `WorkerClient`.

Paths, headers and status codes are those of
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. A streamed response comes as
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
describes it. It is passed on piece by piece: while its `StreamedResponse` blocks, the worker's
socket is not read.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from typing import Final

from terralive_stub.protocol.limits import RESPONSE_BYTES, STREAMED_RESPONSE_BYTES
from terralive_workers.runtime_api.http_messages import (
    BadRequestError,
    Body,
    Request,
    format_response,
)
from terralive_workers.runtime_api.worker_client import (
    CAUSES_HEADER,
    TOO_LARGE,
    TRUNCATED,
    PostResult,
    StreamedResponse,
    WorkerClient,
    error_document,
    too_large_message,
    truncated_document,
)

_log = logging.getLogger("terralive.workers")

_VERSION: Final = "/2018-06-01/runtime"
# Request headers and trailers, in lower case.
_ERROR_TYPE: Final = "lambda-runtime-function-error-type"
_ERROR_BODY: Final = "lambda-runtime-function-error-body"
_RESPONSE_MODE: Final = "lambda-runtime-function-response-mode"
_XRAY_CAUSE: Final = "lambda-runtime-function-xray-error-cause"

_POST_DOCUMENTS: Final = {
    PostResult.ACCEPTED: {"status": "OK"},
    PostResult.UNKNOWN_REQUEST: {
        "errorMessage": "Invalid request ID",
        "errorType": "InvalidRequestID",
    },
    PostResult.WRONG_STATE: {
        "errorMessage": "State transition is not allowed",
        "errorType": "InvalidStateTransition",
    },
    PostResult.TOO_LARGE: {
        "errorMessage": too_large_message(RESPONSE_BYTES),
        "errorType": "RequestEntityTooLarge",
    },
}


def answer(client: WorkerClient, path: str, request: Request, body: Body) -> bytes | None:
    """Return the response to one request, or None to end the connection without a response.

    Args:
        client: the worker's.
        path: the request's path without the worker's secret.
        request: the request.
        body: its body, of which nothing was read.

    Raises:
        BadRequestError: the body is not HTTP/1.1, or the connection ended in the middle of it.
    """
    is_post = request.method == "POST"
    parts = path.removeprefix(_VERSION).strip("/").split("/") if path.startswith(_VERSION) else []
    match parts:
        case ["invocation", request_id, "response"] if is_post and _is_streamed(request):
            return _take_stream(client, request_id, request, body)
    content = body.read(RESPONSE_BYTES + 1)
    match parts:
        case ["invocation", "next"] if request.method == "GET":
            return _next(client)
        case ["invocation", request_id, "response"] if is_post:
            return _take_response(client, request_id, request, body, content)
        case ["invocation", request_id, "error"] if is_post:
            return _take_error(client, request_id, request, content)
        case ["init", "error"] if is_post:
            return _fail_init(client, request, content)
        case _:
            return not_found(request)


def _next(client: WorkerClient) -> bytes | None:
    """Wait for the next invocation. As in Lambda, empty headers are left out."""
    invocation = client.next_invocation()
    if invocation is None:
        return None
    _log.debug("invocation %s goes to a worker", invocation.request_id)
    deadline_ms = invocation.deadline.epoch_ms(now=time.monotonic(), wall_now=time.time())
    headers = {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
        "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
        "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
    }
    if invocation.trace_id:
        headers["Lambda-Runtime-Trace-Id"] = invocation.trace_id
    if invocation.client_context:
        headers["Lambda-Runtime-Client-Context"] = invocation.client_context
    if invocation.cognito_identity:
        headers["Lambda-Runtime-Cognito-Identity"] = invocation.cognito_identity
    if invocation.tenant_id:
        headers["Lambda-Runtime-Aws-Tenant-Id"] = invocation.tenant_id
    return format_response(200, headers, invocation.event)


def _is_streamed(request: Request) -> bool:
    return request.headers.get(_RESPONSE_MODE, "").lower() == "streaming"


def _take_response(
    client: WorkerClient, request_id: str, request: Request, body: Body, content: bytes
) -> bytes:
    # In the trailers, it is the error of a runtime that failed on the way.
    error_type = body.trailers.get(_ERROR_TYPE) or request.headers.get(_ERROR_TYPE)
    if len(content) > RESPONSE_BYTES:
        result = _fail_too_large(client, request_id)
    elif error_type:
        result = client.fail(request_id, error_type, _trailing_error(body, error_type))
    else:
        result = client.respond(request_id, content)
    _log.debug("invocation %s: error type %s: %d", request_id, error_type, result)
    return _post_response(request, result)


def _take_error(client: WorkerClient, request_id: str, request: Request, content: bytes) -> bytes:
    error_type = request.headers.get(_ERROR_TYPE) or "Unhandled"
    if len(content) > RESPONSE_BYTES:
        result = _fail_too_large(client, request_id)
    else:
        result = client.fail(request_id, error_type, content, _causes(request))
    _log.debug("invocation %s: error type %s: %d", request_id, error_type, result)
    return _post_response(request, result)


def _causes(request: Request) -> str:
    """Return the exceptions that led to an error, as JSON text; "" where there are none."""
    try:
        text = base64.b64decode(request.headers.get(CAUSES_HEADER, ""), validate=True)
    except ValueError:  # also binascii.Error
        return ""
    return text.decode("utf-8", "replace")


def _fail_too_large(client: WorkerClient, request_id: str) -> PostResult:
    """End the invocation with the error that Lambda gives to a response above its limit."""
    document = error_document(TOO_LARGE, too_large_message(RESPONSE_BYTES))
    result = client.fail(request_id, TOO_LARGE, document)
    if result is PostResult.ACCEPTED:
        return PostResult.TOO_LARGE
    return result


def _take_stream(
    client: WorkerClient, request_id: str, request: Request, body: Body
) -> bytes | None:
    """Pass a streamed response on. Return None to end the connection without a response."""
    taken = client.begin_stream(request_id, request.headers.get("content-type", ""))
    if isinstance(taken, PostResult):
        body.read(0)
        return _post_response(request, taken)
    _log.debug("invocation %s streams its response", request_id)
    try:
        result = _pass_on(taken, body)
    except (BadRequestError, OSError):
        _log.debug("invocation %s: its streamed response breaks off", request_id)
        taken.fail(TRUNCATED, truncated_document())
        raise
    if result is None:
        return None
    _log.debug("invocation %s: %d bytes were streamed: %d", request_id, body.size, result)
    return _post_response(request, result, limit=STREAMED_RESPONSE_BYTES)


def _pass_on(stream: StreamedResponse, body: Body) -> PostResult | None:
    """Pass the pieces on, and the end. Return None if nothing more is wanted.

    Raises:
        BadRequestError: the body is not HTTP/1.1, or the connection ended in the middle of it.
        OSError: the connection broke.
    """
    for piece in body.pieces():
        excess = body.size - STREAMED_RESPONSE_BYTES
        if excess >= len(piece):
            continue  # The rest of a response that is too large is read and dropped.
        if not stream.write(piece[: len(piece) - max(0, excess)]):
            return None
    if body.size > STREAMED_RESPONSE_BYTES:
        document = error_document(TOO_LARGE, too_large_message(STREAMED_RESPONSE_BYTES))
        result = stream.fail(TOO_LARGE, document)
        if result is PostResult.ACCEPTED:
            return PostResult.TOO_LARGE
        return result
    error_type = body.trailers.get(_ERROR_TYPE)
    if error_type:
        return stream.fail(error_type, _trailing_error(body, error_type))
    return stream.end()


def _fail_init(client: WorkerClient, request: Request, content: bytes) -> bytes:
    error_type = request.headers.get(_ERROR_TYPE, "")
    cause = request.headers.get(_XRAY_CAUSE, "")
    result = client.fail_init(error_type, content, cause)
    _log.debug("a worker cannot start: an error of type %s: %d", error_type, result)
    return _post_response(request, result)


def _trailing_error(body: Body, error_type: str) -> bytes:
    """Return the error document from the trailers, or a document without a message."""
    try:
        document = base64.b64decode(body.trailers.get(_ERROR_BODY, ""), validate=True)
    except ValueError:  # also binascii.Error
        document = b""
    return document or error_document(error_type, "")


def _post_response(request: Request, result: PostResult, limit: int = RESPONSE_BYTES) -> bytes:
    document = _POST_DOCUMENTS[result]
    if result is PostResult.TOO_LARGE:
        document = {**document, "errorMessage": too_large_message(limit)}
    return _json_response(request, int(result), document)


def not_found(request: Request) -> bytes:
    """Return the response to a request of a path that the Runtime API does not have."""
    document = {"errorMessage": "no such resource", "errorType": "NotFound"}
    return _json_response(request, 404, document)


def _json_response(request: Request, status: int, document: dict[str, str]) -> bytes:
    body = json.dumps(document).encode()
    headers = {"Content-Type": "application/json"}
    return format_response(status, headers, body, keep_alive=request.keep_alive)

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from terralive_sandbox.apigateway import streamed_answers
from terralive_sandbox.apigateway.failures import Failure, IntegrationError
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_sandbox.apigateway.rest.streaming import Limits, response_of
from terralive_sandbox.front import event_stream
from terralive_sandbox.functions.invoke_api import InvokeResponse
from terralive_sandbox.functions.streams import ResponseStream, StreamedInvocation
from terralive_sandbox.responses import BrokenStreamError

DONE = InvokeResponse(b"", function_error=False, executed_version="1")


async def rest(loops: int = 20) -> None:
    """Let everything run that can run."""
    for _ in range(loops):
        await asyncio.sleep(0)


def test_a_function_waits_while_its_caller_does_not_read() -> None:
    written: list[bytes] = []

    async def invoke(stream: ResponseStream) -> InvokeResponse:
        for piece in (b"one", b"two", b"three"):
            await stream.put(piece)
            written.append(piece)
        return DONE

    async def scenario() -> None:
        invocation = StreamedInvocation(invoke)
        assert await invocation.begins()
        await rest()
        assert written == [b"one", b"two"]
        pieces = invocation.pieces()
        assert await anext(pieces) == b"one"
        await rest()
        assert written == [b"one", b"two"]
        assert await anext(pieces) == b"two"
        await rest()
        assert written == [b"one", b"two", b"three"]
        assert [piece async for piece in pieces] == [b"three"]
        assert await invocation.result() is DONE

    asyncio.run(scenario())


def test_a_function_runs_on_when_its_caller_is_gone() -> None:
    async def invoke(stream: ResponseStream) -> InvokeResponse:
        for _ in range(100):
            await stream.put(b"piece")
        return DONE

    async def scenario() -> None:
        invocation = StreamedInvocation(invoke)
        assert await invocation.begins()
        pieces = invocation.pieces()
        assert await anext(pieces) == b"piece"
        await pieces.aclose()
        assert await asyncio.wait_for(invocation.result(), 20) is DONE

    asyncio.run(scenario())


def test_a_response_that_is_not_streamed_is_one_piece() -> None:
    async def invoke(_: ResponseStream) -> InvokeResponse:
        return InvokeResponse(b'"whole"', function_error=False, executed_version="1")

    async def scenario() -> None:
        invocation = StreamedInvocation(invoke)
        assert await invocation.begins()
        assert [piece async for piece in invocation.pieces()] == [b'"whole"']
        assert invocation.content_type == "application/json"

    asyncio.run(scenario())


def test_a_function_that_fails_has_no_piece() -> None:
    failed = InvokeResponse(b'{"errorType": "E"}', function_error=True, executed_version="1")

    async def invoke(_: ResponseStream) -> InvokeResponse:
        return failed

    async def scenario() -> None:
        invocation = StreamedInvocation(invoke)
        assert not await invocation.begins()
        assert await invocation.result() is failed

    asyncio.run(scenario())


def prelude_of(*pieces: bytes) -> tuple[bytes, bytes]:
    async def given() -> object:
        for piece in pieces:
            yield piece

    return asyncio.run(streamed_answers.read_prelude(given()))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ((b"{}" + bytes(8) + b"body",), b"body"),
        ((b"{", b"}", bytes(8)), b""),
        ((b"{}\0\0\0", b"\0\0\0\0", b"\0bo", b"dy"), b"bo"),
        ((b"{}" + bytes(9),), b"\0"),
    ],
)
def test_a_prelude_ends_with_eight_nul_bytes_wherever_its_pieces_are_cut(
    pieces: tuple[bytes, ...], body: bytes
) -> None:
    assert prelude_of(*pieces) == (b"{}", body)


@pytest.mark.parametrize("pieces", [(), (b"{}",), (b"{}" + bytes(7),), (b"x" * 17_000, bytes(8))])
def test_an_answer_without_a_complete_prelude_is_malformed(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(MalformedAnswerError):
        prelude_of(*pieces)


def test_a_prelude_has_the_status_the_headers_and_the_cookies() -> None:
    given = (
        b'{"statusCode": 201, "headers": {"X-A": "b", "Content-Type": "a/b"}, "cookies": ["c=d"]}'
    )
    assert streamed_answers.status_and_headers(given, has_lists=False) == (
        201,
        [("set-cookie", "c=d"), ("x-a", "b"), ("content-type", "a/b")],
    )
    octets = [("content-type", "application/octet-stream")]
    assert streamed_answers.status_and_headers(b"{}", has_lists=False) == (200, octets)


def test_a_prelude_for_a_rest_api_may_have_lists_of_values() -> None:
    given = b'{"headers": {"X-A": "a"}, "multiValueHeaders": {"X-B": ["b", "c"]}}'
    status, headers = streamed_answers.status_and_headers(given, has_lists=True)
    assert (status, headers[:-1]) == (200, [("x-b", "b"), ("x-b", "c"), ("x-a", "a")])


@pytest.mark.parametrize(
    ("milliseconds", "types", "limits"),
    [
        (29_000, ["REGIONAL"], Limits(29, 300)),
        (900_000, ["EDGE"], Limits(900, 30)),
        (2_000_000, ["PRIVATE"], Limits(900, 300)),
    ],
)
def test_a_stream_of_a_rest_api_ends_after_its_timeout_and_when_it_is_idle(
    milliseconds: int, types: list[str], limits: Limits
) -> None:
    assert Limits.of(milliseconds, types, time_scale=1.0) == limits


async def _read(*pieces: bytes, limits: Limits, waits_before: int = -1) -> tuple[int, bytes]:
    """Return the status and the body of a response in pieces, one of which never comes."""

    async def invoke(stream: ResponseStream) -> InvokeResponse:
        for number, piece in enumerate(pieces):
            if number == waits_before:
                await asyncio.Event().wait()
            await stream.put(piece)
        return InvokeResponse(b"", function_error=False, executed_version="1")

    response = await response_of(StreamedInvocation(invoke), "orders", limits)
    return response.status, b"".join([piece async for piece in response.pieces])


def test_a_rest_api_streams_what_comes_after_the_prelude() -> None:
    pieces = (b'{"statusCode": 201}' + bytes(8) + b"a", b"b")
    assert asyncio.run(_read(*pieces, limits=Limits(60, 60))) == (201, b"ab")


@pytest.mark.parametrize("limits", [Limits(0.05, 60), Limits(60, 0.05)])
def test_a_rest_api_breaks_off_a_response_that_does_not_go_on(limits: Limits) -> None:
    pieces = (b"{}" + bytes(8) + b"a", b"b")
    with pytest.raises(BrokenStreamError):
        asyncio.run(_read(*pieces, limits=limits, waits_before=1))
    with pytest.raises(IntegrationError) as failed:
        asyncio.run(_read(*pieces, limits=limits, waits_before=0))
    assert failed.value.failure is Failure.TIMED_OUT


@pytest.mark.parametrize(
    "prelude", [b"", b"[]", b"{", b'{"statusCode": "x"}', b'{"headers": []}', b'{"cookies": "a"}']
)
def test_a_prelude_of_other_types_is_malformed(prelude: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        streamed_answers.status_and_headers(prelude, has_lists=True)


def test_events_are_read_by_botocore() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(event_stream.event("PayloadChunk", "application/octet-stream", b"\0\xff"))
    buffer.add_data(event_stream.event("InvokeComplete", "application/json", b"{}"))
    read: list[Any] = list(buffer)
    chunk, complete = read
    assert (chunk.headers, chunk.payload) == (
        {
            ":event-type": "PayloadChunk",
            ":content-type": "application/octet-stream",
            ":message-type": "event",
        },
        b"\0\xff",
    )
    assert (complete.headers[":event-type"], complete.payload) == ("InvokeComplete", b"{}")

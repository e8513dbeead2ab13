from __future__ import annotations

import io

import pytest

from terralive_workers.runtime_api.http_messages import (
    BadRequestError,
    Body,
    Request,
    format_response,
    read_head,
)


def opened(data: bytes) -> tuple[Request, Body]:
    stream = io.BytesIO(data)
    request = read_head(stream)
    assert request is not None
    return request, Body(stream, request)


def test_a_request_has_its_method_path_headers_and_body() -> None:
    request, body = opened(
        b"POST /a/b HTTP/1.1\r\nX-Name:  A value \r\nContent-Length: 4\r\n\r\nbody"
    )
    assert (request.method, request.path, body.read(1000)) == ("POST", "/a/b", b"body")
    assert request.headers["x-name"] == "A value"
    assert request.keep_alive


def test_a_connection_that_ends_before_a_request_is_no_request() -> None:
    assert read_head(io.BytesIO(b"")) is None


def test_a_body_above_the_limit_is_cut_and_its_size_is_known() -> None:
    stream = io.BytesIO(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789GET ")
    request = read_head(stream)
    assert request is not None
    body = Body(stream, request)
    assert (body.read(4), body.size) == (b"0123", 10)
    assert stream.read() == b"GET "


def test_a_chunked_body_is_joined_and_has_its_trailers() -> None:
    _, body = opened(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n4;name=value\r\ndefg\r\n0\r\nX-Trailer: late\r\n\r\n"
    )
    assert (body.read(5), body.size) == (b"abcde", 7)
    assert body.trailers["x-trailer"] == "late"


def test_each_chunk_is_a_piece_and_a_large_one_is_several() -> None:
    large = b"x" * 100_000
    _, body = opened(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n186a0\r\n" + large + b"\r\n1\r\nd\r\n0\r\n\r\n"
    )
    first, *middle, last = body.pieces()
    assert (first, b"".join(middle), last) == (b"abc", large, b"d")
    assert all(len(piece) <= 64 * 1024 for piece in middle)


def test_a_piece_is_there_before_the_rest_of_its_chunk() -> None:
    """The connection breaks in the middle of a chunk: what came before is not lost."""
    _, body = opened(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nearly")
    pieces = body.pieces()
    assert next(pieces) == b"early"
    with pytest.raises(BadRequestError):
        next(pieces)


def test_a_peer_that_closes_the_connection_says_so() -> None:
    assert not opened(b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n")[0].keep_alive


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"GET / SPDY/3\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: cut off",
        b"POST / HTTP/1.1\r\nContent-Length: ten\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nshort",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 10 + b"Y: 1\r\n",
    ],
)
def test_nonsense_is_a_bad_request(data: bytes) -> None:
    with pytest.raises(BadRequestError):
        opened(data)[1].read(1000)


def test_more_headers_than_200_are_a_bad_request() -> None:
    headers = b"".join(b"X-%d: 1\r\n" % number for number in range(300))
    with pytest.raises(BadRequestError):
        opened(b"GET / HTTP/1.1\r\n" + headers + b"\r\n")


def test_a_response_has_its_length_and_keeps_line_breaks_out_of_headers() -> None:
    response = format_response(202, {"X": "a\r\nEvil: yes"}, b"{}", keep_alive=False)
    assert response == (
        b"HTTP/1.1 202 Accepted\r\nX: a Evil: yes\r\nContent-Length: 2\r\n"
        b"Connection: close\r\n\r\n{}"
    )

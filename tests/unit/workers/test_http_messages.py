from __future__ import annotations

import io

import pytest

from terralive_workers.http_messages import (
    BadRequestError,
    Request,
    format_response,
    read_request,
)


def read(data: bytes, *, limit: int = 1000) -> Request | None:
    return read_request(io.BytesIO(data), body_limit=limit, send_continue=lambda: None)


def complete(data: bytes, *, limit: int = 1000) -> Request:
    request = read(data, limit=limit)
    assert request is not None
    return request


def test_a_request_has_its_method_path_headers_and_body() -> None:
    request = complete(b"POST /a/b HTTP/1.1\r\nX-Name:  A value \r\nContent-Length: 4\r\n\r\nbody")
    assert (request.method, request.path, request.body) == ("POST", "/a/b", b"body")
    assert request.headers["x-name"] == "A value"
    assert request.keep_alive


def test_a_connection_that_ends_before_a_request_is_no_request() -> None:
    assert read(b"") is None


def test_a_body_above_the_limit_is_cut_and_its_size_is_known() -> None:
    stream = io.BytesIO(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789GET ")
    request = read_request(stream, body_limit=4, send_continue=lambda: None)
    assert request is not None
    assert (request.body, request.body_bytes) == (b"0123", 10)
    assert stream.read() == b"GET "


def test_a_chunked_body_is_joined_and_its_trailers_are_headers() -> None:
    request = complete(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n4;name=value\r\ndefg\r\n0\r\nX-Trailer: late\r\n\r\n",
        limit=5,
    )
    assert (request.body, request.body_bytes) == (b"abcde", 7)
    assert request.headers["x-trailer"] == "late"


def test_a_peer_that_closes_the_connection_says_so() -> None:
    assert not complete(b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n").keep_alive


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
        read(data)


def test_more_headers_than_200_are_a_bad_request() -> None:
    headers = b"".join(b"X-%d: 1\r\n" % number for number in range(300))
    with pytest.raises(BadRequestError):
        read(b"GET / HTTP/1.1\r\n" + headers + b"\r\n")


def test_a_response_has_its_length_and_keeps_line_breaks_out_of_headers() -> None:
    response = format_response(202, {"X": "a\r\nEvil: yes"}, b"{}", keep_alive=False)
    assert response == (
        b"HTTP/1.1 202 Accepted\r\nX: a Evil: yes\r\nContent-Length: 2\r\n"
        b"Connection: close\r\n\r\n{}"
    )

"""Cross-origin resource sharing; the page is named in the module under test."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_sandbox.apigateway.cors import Cors

CORS = Cors(
    {
        "allowOrigins": ["https://www.example.com", "http://*"],
        "allowMethods": ["GET", "POST"],
        "allowHeaders": ["authorization"],
        "exposeHeaders": ["x-api-id"],
        "allowCredentials": True,
        "maxAge": 300,
    }
)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://www.example.com", "https://www.example.com"),
        ("HTTPS://WWW.example.com", "HTTPS://WWW.example.com"),
        ("https://example.com", None),
        ("http://localhost:3000", "http://localhost:3000"),
        ("null", None),
    ],
)
def test_an_origin_is_allowed_by_name_or_scheme(origin: str, allowed: str | None) -> None:
    assert CORS.origin(origin) == allowed
    assert Cors({"allowOrigins": ["*"]}).origin(origin) == "*"


def test_a_preflight_is_answered_with_what_is_configured() -> None:
    assert dict(CORS.preflight("http://a", "PUT")) == {
        "access-control-allow-origin": "http://a",
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "x-api-id",
        "access-control-allow-methods": "GET,POST",
        "access-control-allow-headers": "authorization",
        "access-control-max-age": "300",
    }
    assert (
        CORS.preflight("", "GET")
        == CORS.preflight("http://a", "")
        == CORS.preflight("ftp://a", "GET")
        == []
    )


def test_a_functions_own_cors_headers_are_ignored() -> None:
    own = [("Access-Control-Allow-Origin", "*"), ("x", "y")]
    assert CORS.response("ftp://a", own) == CORS.response("", own) == [("x", "y")]
    assert dict(CORS.response("http://a", own)) == {
        "x": "y",
        "access-control-allow-origin": "http://a",
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "x-api-id",
    }


@given(st.text("/%ab{}é\udcff", max_size=12).map("/".__add__), st.text("&=%+a;é", max_size=12))
def test_any_origin_and_method_of_a_preflight_are_taken(origin: str, method: str) -> None:
    assert CORS.preflight(origin, method) == []

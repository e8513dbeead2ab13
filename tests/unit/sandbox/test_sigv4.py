"""Signatures that botocore makes are accepted, and anything that differs is refused."""

from __future__ import annotations

import time
from urllib.parse import quote, urlencode, urlsplit

import pytest
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from terralive_sandbox.access import sigv2, sigv4

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI"
SEGMENT = st.text(
    st.characters(codec="ascii", categories=["L", "N"], include_characters="-_.~ =+@$:%"),
    max_size=8,
)


def received(request: AWSRequest, body: bytes) -> sigv4.Request:
    """Return a request that botocore signed as a server receives it."""
    prepared = request.prepare()
    url = urlsplit(prepared.url)
    headers = {
        "host": url.netloc,
        **{str(k).lower(): _text(v) for k, v in prepared.headers.items()},
    }
    return sigv4.Request(
        str(prepared.method), url.path or "/", url.query, tuple(headers.items()), body
    )


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def check(
    request: sigv4.Request, *, secret: str = SECRET, now: float | None = None
) -> sigv4.Signed:
    signed = sigv4.parse(request)
    sigv4.verify(request, signed, secret, time.time() if now is None else now)
    return signed


@given(
    st.lists(SEGMENT, max_size=3),
    st.dictionaries(SEGMENT, SEGMENT, max_size=3),
    st.binary(max_size=40),
)
def test_what_botocore_signs_is_accepted(
    segments: list[str], query: dict[str, str], body: bytes
) -> None:
    path = "/".join(quote(s, safe="") for s in segments)
    url = f"http://127.0.0.1:4566/{path}" + (
        f"?{urlencode(query, quote_via=quote)}" if query else ""
    )
    request = AWSRequest("POST", url, data=body, headers={"X-Amz-Target": "a  b"})
    SigV4Auth(Credentials(KEY, SECRET, "token"), "execute-api", "eu-west-1").add_auth(request)
    signed = check(received(request, body))
    assert (signed.access_key_id, signed.service) == (KEY, "execute-api")
    assert (signed.region, signed.token) == ("eu-west-1", "token")


def test_s3_and_presigned_requests_are_accepted() -> None:
    request = AWSRequest("PUT", "http://127.0.0.1:1/b/a%20key", data=b"x")
    S3SigV4Auth(Credentials(KEY, SECRET), "s3", "us-east-1").add_auth(request)
    check(received(request, b"x"))
    request = AWSRequest("GET", "http://127.0.0.1:1/stage?a=b")
    SigV4QueryAuth(
        Credentials(KEY, SECRET, "t/+="), "execute-api", "us-east-1", expires=60
    ).add_auth(request)
    assert check(received(request, b"")).token == "t/+="


def _signed() -> sigv4.Request:
    request = AWSRequest("POST", "http://127.0.0.1:1/a", data=b"body")
    SigV4Auth(Credentials(KEY, SECRET), "sns", "us-east-1").add_auth(request)
    return received(request, b"body")


def test_anything_that_changed_is_refused() -> None:
    good = _signed()
    for changed in (
        sigv4.Request(good.method, good.path, good.query, good.headers, b"other"),
        sigv4.Request("GET", good.path, good.query, good.headers, good.body),
        sigv4.Request(good.method, "/b", good.query, good.headers, good.body),
        sigv4.Request(good.method, good.path, "a=b", good.headers, good.body),
    ):
        with pytest.raises(sigv4.SignatureError) as refused:
            check(changed)
        assert refused.value.code == "SignatureDoesNotMatch"
    with pytest.raises(sigv4.SignatureError, match="does not match"):
        check(good, secret="other")


def test_a_signature_is_good_for_five_minutes() -> None:
    good = _signed()
    check(good, now=time.time() + 290)
    for now in (time.time() + 310, time.time() - 310):
        with pytest.raises(sigv4.SignatureError, match="expired"):
            check(good, now=now)


@given(
    st.sampled_from(["GET", "PUT", "DELETE", "HEAD"]),
    st.lists(SEGMENT, max_size=3),
    st.dictionaries(
        st.sampled_from(["versionId", "select", "select-type", "uploads", "prefix"]),
        SEGMENT,
        max_size=3,
    ),
    st.sampled_from(
        [
            {},
            {"content-type": "text/plain", "content-md5": "m"},
            {"x-amz-acl": "private", "x-amz-b": "c"},
        ]
    ),
    st.sampled_from(["", "t/+="]),
)
def test_what_botocore_presigns_by_version_2_is_accepted(
    method: str, segments: list[str], query: dict[str, str], headers: dict[str, str], token: str
) -> None:
    path = "/".join(quote(s, safe="") for s in ["bucket", *segments])
    url = f"http://127.0.0.1:4566/{path}" + (
        f"?{urlencode(query, quote_via=quote)}" if query else ""
    )
    request = AWSRequest(method, url, headers=headers)
    HmacV1QueryAuth(Credentials(KEY, SECRET, token or None), expires=60).add_auth(request)
    signed_url = urlsplit(str(request.url))
    sent = sigv4.Request(method, signed_url.path, signed_url.query, tuple(headers.items()))
    assert sigv2.is_presigned(sent)
    signed = sigv2.parse(sent)
    sigv2.verify(sent, signed, SECRET, time.time())
    assert (signed.access_key_id, signed.service, signed.token) == (KEY, "s3", token)
    with pytest.raises(sigv4.SignatureError, match="Request has expired"):
        sigv2.verify(sent, signed, SECRET, time.time() + 90)
    for changed in (
        sigv4.Request(method, signed_url.path + "x", signed_url.query, sent.headers),
        sigv4.Request(method, signed_url.path, signed_url.query + "&acl", sent.headers),
        sigv4.Request("POST", signed_url.path, signed_url.query, sent.headers),
        sigv4.Request(
            method, signed_url.path, signed_url.query, (*sent.headers, ("x-amz-other", "1"))
        ),
    ):
        with pytest.raises(sigv4.SignatureError, match="does not match"):
            sigv2.verify(changed, signed, SECRET, time.time())


@given(st.text(max_size=20))
def test_a_malformed_url_of_version_2_is_refused_by_name(text: str) -> None:
    sent = sigv4.Request("GET", "/b/k", f"AWSAccessKeyId=A&Signature={text}&Expires={text}", ())
    with pytest.raises(sigv4.SignatureError):
        sigv2.verify(sent, sigv2.parse(sent), SECRET, 0)


@given(st.text(max_size=60))
def test_a_malformed_authorization_is_refused_by_name(text: str) -> None:
    with pytest.raises(sigv4.SignatureError):
        check(sigv4.Request("GET", "/", "", (("host", "h"), ("authorization", text))))


@given(st.text(max_size=60))
def test_a_malformed_query_is_refused_by_name(text: str) -> None:
    with pytest.raises(sigv4.SignatureError):
        check(
            sigv4.Request(
                "GET", "/", f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={text}", ()
            )
        )

"""Checks AWS Signature Version 4 of a received request: pure, the secret and the time come in.

Both forms are understood: the `Authorization` header and the `X-Amz-*` query parameters
(presigned).
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import re
import time
from calendar import timegm
from dataclasses import dataclass
from urllib.parse import quote, unquote

MAX_SKEW_SECONDS = 300
_HEADER = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]+)\s*"
)
_SCOPE_PARTS = 5
_SAFE = "-_.~"


class SignatureError(Exception):
    """The request is not signed the way AWS wants it. `code` is AWS's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came over the wire; `path` is still percent-encoded, `headers` have lower-case names.

    `names` are the headers' names as they were sent, in the same order; empty where nobody has kept
    them.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    names: tuple[str, ...] = ()

    def sent_headers(self) -> tuple[tuple[str, str], ...]:
        if len(self.names) != len(self.headers):
            return self.headers
        return tuple(
            (name, value) for name, (_, value) in zip(self.names, self.headers, strict=True)
        )

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True)
class Signed:
    """What a request's signature claims; true only once `verify` has agreed."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    token: str
    expires: int = MAX_SKEW_SECONDS
    in_query: bool = False


def parse(request: Request) -> Signed:
    """Read the signature's parts.

    Raises:
        SignatureError: there is none, or it is malformed.
    """
    query = dict(_pairs(request.query))
    try:
        if query.get("X-Amz-Algorithm") == "AWS4-HMAC-SHA256":
            key, date, region, service, end = unquote(query["X-Amz-Credential"]).rsplit("/", 4)
            signed = Signed(
                key, date, region, service, tuple(unquote(query["X-Amz-SignedHeaders"]).split(";")),
                query["X-Amz-Signature"], query["X-Amz-Date"], unquote(query.get("X-Amz-Security-Token", "")),
                int(query.get("X-Amz-Expires", MAX_SKEW_SECONDS)), in_query=True,
            )  # fmt: skip
        else:
            header = request.header("authorization")
            if header is None and (request.header("content-type") or "").startswith(
                "multipart/form-data"
            ):
                message = (
                    "terralive's sandbox does not emulate S3's uploads from a form (POST policies)."
                )
                raise SignatureError("NotEmulatedBySandbox", message)
            if header is None:
                raise SignatureError("MissingAuthenticationToken", "Missing Authentication Token")
            match = _HEADER.fullmatch(header)
            if match is None:
                raise SignatureError(
                    "IncompleteSignature", "The Authorization header is not a valid signature."
                )
            key, date, region, service, end = match[1].rsplit("/", 4)
            signed = Signed(
                key, date, region, service, tuple(match[2].split(";")), match[3],
                request.header("x-amz-date") or "", request.header("x-amz-security-token") or "",
            )  # fmt: skip
    except (KeyError, ValueError) as error:
        raise SignatureError(
            "IncompleteSignature", f"The signature is incomplete: {error}."
        ) from error
    if (
        end != "aws4_request"
        or not signed.timestamp.startswith(date)
        or "host" not in signed.signed_headers
    ):
        raise SignatureError(
            "IncompleteSignature", "Credential scope, date and signed headers do not agree."
        )
    return signed


def service_of(request: Request) -> str:
    """The service that a signature names, for the wording of a refusal.

    `s3`, as AWS does, where there is none.
    """
    try:
        return parse(request).service
    except SignatureError:
        return "s3"


def verify(request: Request, signed: Signed, secret: str, now: float) -> None:
    """Compare the signature with the one that `secret` gives.

    Raises:
        SignatureError: it differs, is too old, or the body is not the signed one.
    """
    try:
        at = timegm(time.strptime(signed.timestamp, "%Y%m%dT%H%M%SZ"))
    except ValueError as error:
        raise SignatureError(
            "IncompleteSignature", "X-Amz-Date is not an ISO 8601 basic time."
        ) from error
    end = at + max(signed.expires, MAX_SKEW_SECONDS * (not signed.in_query))
    if now > end and signed.in_query and signed.service == "s3":
        raise request_expired()
    if not at - MAX_SKEW_SECONDS <= now <= end:
        raise SignatureError(
            "SignatureDoesNotMatch", f"Signature expired: {signed.timestamp} is not now."
        )
    expected = _signature(request, signed, secret)
    if not hmac.compare_digest(expected, signed.signature):
        raise mismatch()


def mismatch() -> SignatureError:
    return SignatureError(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method.",
    )


def request_expired() -> SignatureError:
    """S3's word for a presigned URL whose time is over."""
    return SignatureError("AccessDenied", "Request has expired")


def _signature(request: Request, signed: Signed, secret: str) -> str:
    headers = {
        name: ",".join(" ".join(v.split()) for k, v in request.headers if k == name)
        for name in signed.signed_headers
    }
    canonical = "\n".join(
        [
            request.method,
            _path(request.path, signed.service),
            _query(request.query),
            *(f"{name}:{headers[name]}" for name in signed.signed_headers),
            "",
            ";".join(signed.signed_headers),
            _payload_hash(request, signed),
        ]
    )
    scope = f"{signed.date}/{signed.region}/{signed.service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{signed.timestamp}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for step in (signed.date, signed.region, signed.service, "aws4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


def _payload_hash(request: Request, signed: Signed) -> str:
    if signed.in_query and signed.service == "s3":
        return "UNSIGNED-PAYLOAD"
    actual = hashlib.sha256(request.body).hexdigest()
    claimed = request.header("x-amz-content-sha256")
    if claimed is None or signed.in_query:
        return actual
    if re.fullmatch(r"[0-9a-f]{64}", claimed) and claimed != actual:
        raise SignatureError("SignatureDoesNotMatch", "The body is not the one that was signed.")
    return claimed


def _path(path: str, service: str) -> str:
    if service == "s3":
        return path or "/"
    normal = posixpath.normpath(re.sub("/+", "/", path or "/"))
    if path.endswith("/") and not normal.endswith("/"):
        normal += "/"
    return quote(normal, safe="/" + _SAFE)


def _pairs(query: str) -> list[tuple[str, str]]:
    pairs = (part.partition("=") for part in query.split("&") if part)
    return [(unquote(key.replace("+", " ")), value) for key, _, value in pairs]


def _query(query: str) -> str:
    encoded = sorted(
        (quote(key, safe=_SAFE), quote(unquote(value.replace("+", " ")), safe=_SAFE))
        for key, value in _pairs(query)
        if key != "X-Amz-Signature"
    )
    return "&".join(f"{key}={value}" for key, value in encoded)

"""Check AWS Signature Version 4 of a request. No I/O: the secret and the time are parameters.

Both forms are understood: the `Authorization` header and the `X-Amz-*` query parameters
(presigned). botocore computes the signature, so a request is canonical here if it is there.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn, cast
from urllib.parse import unquote

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

MAX_SKEW_SECONDS: Final = 300
_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_HEADER: Final = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),"
    r"\s*Signature=([0-9a-f]+)\s*"
)
_SHA256: Final = re.compile("[0-9a-f]{64}")


class SignatureError(Exception):
    """The request is not signed as AWS demands. `code` is AWS's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it was received."""

    method: str
    # Percent-encoded
    path: str
    # Without the question mark
    query: str
    # Names in lower case, in the order in which they were sent
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    # The names of `headers` as the client wrote them; empty where they are not known.
    names: tuple[str, ...] = ()

    def sent_headers(self) -> tuple[tuple[str, str], ...]:
        """Return the headers with their names as the client wrote them, if they are known."""
        if len(self.names) != len(self.headers):
            return self.headers
        values = [value for _, value in self.headers]
        return tuple(zip(self.names, values, strict=True))

    def header(self, name: str) -> str | None:
        """Return the first value of a header; `name` is in lower case."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


@dataclass(frozen=True, slots=True)
class Signed:
    """The parts of a request's signature. They can be trusted only after `verify`."""

    access_key_id: str
    # YYYYMMDD
    date: str
    region: str
    # The service's name in signatures, such as `execute-api`
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    # When it was signed, YYYYMMDDTHHMMSSZ (version 2: when it expires, in seconds since 1970)
    timestamp: str
    # The session token, or ""
    token: str
    # How long the signature is valid, in seconds
    expires: int = MAX_SKEW_SECONDS
    # Presigned
    in_query: bool = False


def parse(request: Request) -> Signed:
    """Read the parts of a request's signature.

    Raises:
        SignatureError: there is no signature, or it is malformed.
    """
    query = dict(_parameters(request.query))
    try:
        if query.get("X-Amz-Algorithm") == _ALGORITHM:
            signed = _parse_query(query)
        else:
            signed = _parse_header(request)
    except (KeyError, ValueError) as error:
        raise _incomplete(f"The signature is incomplete: {error}.") from error
    if not signed.timestamp.startswith(signed.date) or "host" not in signed.signed_headers:
        raise _scope_error()
    return signed


def _parse_query(query: dict[str, str]) -> Signed:
    """Read a presigned request. Raises KeyError or ValueError where a part is missing."""
    scope = _parse_scope(query["X-Amz-Credential"])
    return Signed(
        access_key_id=scope.access_key_id,
        date=scope.date,
        region=scope.region,
        service=scope.service,
        signed_headers=tuple(query["X-Amz-SignedHeaders"].split(";")),
        signature=query["X-Amz-Signature"],
        timestamp=query["X-Amz-Date"],
        token=query.get("X-Amz-Security-Token", ""),
        expires=int(query.get("X-Amz-Expires", MAX_SKEW_SECONDS)),
        in_query=True,
    )


def _parse_header(request: Request) -> Signed:
    """Read the Authorization header. Raises ValueError where the credential is malformed."""
    header = request.header("authorization")
    if header is None:
        _raise_unsigned(request)
    match = _HEADER.fullmatch(header)
    if match is None:
        raise _incomplete("The Authorization header is not a valid signature.")
    scope = _parse_scope(match[1])
    return Signed(
        access_key_id=scope.access_key_id,
        date=scope.date,
        region=scope.region,
        service=scope.service,
        signed_headers=tuple(match[2].split(";")),
        signature=match[3],
        timestamp=request.header("x-amz-date") or "",
        token=request.header("x-amz-security-token") or "",
    )


@dataclass(frozen=True, slots=True)
class _Scope:
    """The parts of `Credential` in a signature."""

    access_key_id: str
    date: str
    region: str
    service: str


def _parse_scope(credential: str) -> _Scope:
    access_key_id, date, region, service, end = credential.rsplit("/", 4)
    if end != "aws4_request":
        raise _scope_error()
    return _Scope(access_key_id, date, region, service)


def _raise_unsigned(request: Request) -> NoReturn:
    content_type = request.header("content-type") or ""
    if content_type.startswith("multipart/form-data"):
        message = "terralive's sandbox does not emulate S3's uploads from a form (POST policies)."
        raise SignatureError("NotEmulatedBySandbox", message)
    raise SignatureError("MissingAuthenticationToken", "Missing Authentication Token")


def _incomplete(message: str) -> SignatureError:
    return SignatureError("IncompleteSignature", message)


def _scope_error() -> SignatureError:
    return _incomplete("Credential scope, date and signed headers do not agree.")


def service_of(request: Request) -> str:
    """Return the service that a signature names, for the wording of an error.

    It is `s3` for a request without a signature, as on AWS.
    """
    try:
        return parse(request).service
    except SignatureError:
        return "s3"


def verify(request: Request, signed: Signed, secret: str, now: float) -> None:
    """Compare the signature with the one that `secret` gives at `now` (seconds since 1970).

    Raises:
        SignatureError: they differ, the time is over, or the body is not the one that was signed.
    """
    _check_time(signed, now)
    expected = _signature(request, signed, secret)
    if not hmac.compare_digest(expected.encode(), signed.signature.encode()):
        raise mismatch()


def _check_time(signed: Signed, now: float) -> None:
    try:
        signed_at = timegm(time.strptime(signed.timestamp, "%Y%m%dT%H%M%SZ"))
    except ValueError as error:
        raise _incomplete("X-Amz-Date is not an ISO 8601 basic time.") from error
    end = signed_at + max(signed.expires, 0)
    if now > end and signed.in_query and signed.service == "s3":
        raise request_expired()
    if not signed_at - MAX_SKEW_SECONDS <= now <= end:
        message = f"Signature expired: {signed.timestamp} is not now."
        raise SignatureError("SignatureDoesNotMatch", message)


def mismatch() -> SignatureError:
    """Return the error for a signature that differs."""
    return SignatureError(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method.",
    )


def request_expired() -> SignatureError:
    """Return S3's error for a presigned URL that has expired."""
    return SignatureError("AccessDenied", "Request has expired")


class _Headers(dict[str, list[str]]):
    """The values of each header, with the one method that botocore's signers call."""

    def get_all(self, name: str) -> list[str]:
        return self[name]


class _ReceivedParts:
    """Makes botocore's signers take the headers and the payload that the client signed."""

    # Both are set before a signature is computed.
    received_headers: _Headers
    payload_hash: str

    def headers_to_sign(self, request: object) -> _Headers:
        del request
        return self.received_headers

    def payload(self, request: object) -> str:
        del request
        return self.payload_hash


class _Signer(_ReceivedParts, SigV4Auth):  # type: ignore[misc] # headers in a lighter class
    """Signs for every service but S3."""


class _S3Signer(_ReceivedParts, S3SigV4Auth):  # type: ignore[misc] # headers in a lighter class
    """Signs for S3, which does not normalise paths."""


def _signature(request: Request, signed: Signed, secret: str) -> str:
    signer_class: type[_Signer | _S3Signer] = _Signer
    if signed.service == "s3":
        signer_class = _S3Signer
    credentials = Credentials(signed.access_key_id, secret)
    signer = signer_class(credentials, signed.service, signed.region)
    signer.received_headers = _headers_to_sign(request, signed)
    signer.payload_hash = _payload_hash(request, signed)
    parameters = [
        (name, value) for name, value in _parameters(request.query) if name != "X-Amz-Signature"
    ]
    # A list, as a name may be there twice.
    params = cast("Mapping[str, str]", parameters)
    received = AWSRequest(request.method, url_of(request), params=params)
    received.context["timestamp"] = signed.timestamp
    canonical_request = signer.canonical_request(received)
    string_to_sign = signer.string_to_sign(received, canonical_request)
    return str(signer.signature(string_to_sign, received))


def url_of(request: Request) -> str:
    """Return a URL with the request's path, for botocore. A path without a slash stays a path."""
    if request.path.startswith("/"):
        return f"http://host{request.path}"
    return f"http://host/{request.path}"


def _headers_to_sign(request: Request, signed: Signed) -> _Headers:
    headers = _Headers()
    for name in signed.signed_headers:
        headers[name] = []
    for name, value in request.headers:
        if name in headers:
            headers[name].append(value)
    return headers


def _payload_hash(request: Request, signed: Signed) -> str:
    """Return the hash in the canonical request. Raises SignatureError if the body is another."""
    if signed.in_query and signed.service == "s3":
        return "UNSIGNED-PAYLOAD"
    actual = hashlib.sha256(request.body).hexdigest()
    claimed = request.header("x-amz-content-sha256")
    if claimed is None or signed.in_query:
        return actual
    if _SHA256.fullmatch(claimed) and claimed != actual:
        raise SignatureError("SignatureDoesNotMatch", "The body is not the one that was signed.")
    return claimed


def _parameters(query: str) -> list[tuple[str, str]]:
    """Split a query into its parameters, names and values decoded."""
    parameters: list[tuple[str, str]] = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if part:
            parameters.append((_decoded(name), _decoded(value)))
    return parameters


def _decoded(text: str) -> str:
    return unquote(text.replace("+", " "))

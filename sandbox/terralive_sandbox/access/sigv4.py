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
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

MAX_SKEW_SECONDS: Final = 300
_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_HEADER: Final = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),"
    r"\s*Signature=([0-9a-f]+)\s*"
)
_SHA256: Final = re.compile("[0-9a-f]{64}")
# S3's message for a presigned URL that has expired.
EXPIRED: Final = "Request has expired"


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

    def parameters(self) -> list[tuple[str, str]]:
        """Return the query's parameters, names and values decoded."""
        return parse_qsl(self.query, keep_blank_values=True)

    def url(self, query: str) -> str:
        """Return a URL with the request's path, for botocore. A path without a slash stays one."""
        return f"http://host/{self.path.removeprefix('/')}?{query}"


@dataclass(frozen=True, slots=True)
class Signed:
    """The parts of a request's signature. They can be trusted only after `verify`."""

    access_key_id: str
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
    """Read the parts of a signature. Raises SignatureError if it is missing or malformed."""
    parts = dict(request.parameters())
    in_query = parts.get("X-Amz-Algorithm") == _ALGORITHM
    if not in_query:
        parts = _header_parts(request)
    try:
        access_key_id, date, region, service, end = parts["X-Amz-Credential"].rsplit("/", 4)
        signed = Signed(
            access_key_id=access_key_id,
            region=region,
            service=service,
            signed_headers=tuple(parts["X-Amz-SignedHeaders"].split(";")),
            signature=parts["X-Amz-Signature"],
            timestamp=parts["X-Amz-Date"],
            token=parts.get("X-Amz-Security-Token", ""),
            expires=int(parts.get("X-Amz-Expires", MAX_SKEW_SECONDS)),
            in_query=in_query,
        )
    except (KeyError, ValueError) as error:
        message = f"The signature is incomplete: {error}."
        raise SignatureError("IncompleteSignature", message) from error
    is_scope = end == "aws4_request" and signed.timestamp.startswith(date)
    if not is_scope or "host" not in signed.signed_headers:
        message = "Credential scope, date and signed headers do not agree."
        raise SignatureError("IncompleteSignature", message)
    return signed


def _header_parts(request: Request) -> dict[str, str]:
    """Return the signature in the headers, by the names that its parts have in a query."""
    header = request.header("authorization")
    if header is None:
        if (request.header("content-type") or "").startswith("multipart/form-data"):
            message = (
                "terralive's sandbox does not emulate S3's uploads from a form (POST policies)."
            )
            raise SignatureError("NotEmulatedBySandbox", message)
        raise SignatureError("MissingAuthenticationToken", "Missing Authentication Token")
    match = _HEADER.fullmatch(header)
    if match is None:
        message = "The Authorization header is not a valid signature."
        raise SignatureError("IncompleteSignature", message)
    return {
        "X-Amz-Credential": match[1],
        "X-Amz-SignedHeaders": match[2],
        "X-Amz-Signature": match[3],
        "X-Amz-Date": request.header("x-amz-date") or "",
        "X-Amz-Security-Token": request.header("x-amz-security-token") or "",
    }


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
    signer_class: type[SigV4Auth] = SigV4Auth
    if signed.service == "s3":
        signer_class = S3SigV4Auth  # does not normalise paths
    signer = signer_class(Credentials(signed.access_key_id, secret), signed.service, signed.region)
    headers = HTTPHeaders()
    for name in signed.signed_headers:
        headers[name] = ",".join(value for key, value in request.headers if key == name)
    # botocore would leave some of these headers out, whatever the client signed.
    signer.headers_to_sign = lambda _: headers  # type: ignore[assignment,method-assign] # no other way
    parameters = [pair for pair in request.parameters() if pair[0] != "X-Amz-Signature"]
    url = request.url(urlencode(parameters, quote_via=quote))
    payload = {"X-Amz-Content-SHA256": _payload_hash(request, signed)}
    received = AWSRequest(request.method, url, payload)
    received.context["timestamp"] = signed.timestamp
    string_to_sign = signer.string_to_sign(received, signer.canonical_request(received))
    compare(signer.signature(string_to_sign, received), signed)


def _check_time(signed: Signed, now: float) -> None:
    try:
        signed_at = timegm(time.strptime(signed.timestamp, "%Y%m%dT%H%M%SZ"))
    except ValueError as error:
        message = "X-Amz-Date is not an ISO 8601 basic time."
        raise SignatureError("IncompleteSignature", message) from error
    end = signed_at + max(signed.expires, 0)
    if now > end and signed.in_query and signed.service == "s3":
        raise SignatureError("AccessDenied", EXPIRED)
    if not signed_at - MAX_SKEW_SECONDS <= now <= end:
        message = f"Signature expired: {signed.timestamp} is not now."
        raise SignatureError("SignatureDoesNotMatch", message)


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


def compare(expected: str, signed: Signed) -> None:
    """Compare two signatures in constant time. Raises SignatureError if they differ."""
    if not hmac.compare_digest(expected.encode(), signed.signature.encode()):
        raise SignatureError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method.",
        )

"""Checks S3's presigned URLs of Signature Version 2: pure, the secret and the time come in.

They are boto3's default in us-east-1. It knows no other form of that version: everything else is
version 4, or refused. https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
"""

from __future__ import annotations

import base64
import hmac
import re
from urllib.parse import unquote

from terralive_sandbox.access.sigv4 import (
    Request,
    SignatureError,
    Signed,
    mismatch,
    request_expired,
)

# The page's list, and the subresources that S3 has got since.
_SUBRESOURCES = frozenset({
    "accelerate", "acl", "analytics", "cors", "delete", "inventory", "lifecycle", "location", "logging",
    "metrics", "notification", "object-lock", "partNumber", "policy", "replication", "requestPayment", "restore",
    "select", "select-type", "storageClass", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning",
    "versions", "website", "response-cache-control", "response-content-disposition", "response-content-encoding",
    "response-content-language", "response-content-type", "response-expires",
})  # fmt: skip
_SECONDS = re.compile(r"[0-9]{1,12}")


def is_presigned(request: Request) -> bool:
    names = {name for name, _, _ in _parameters(request)}
    return {"AWSAccessKeyId", "Signature", "Expires"} <= names and request.header(
        "authorization"
    ) is None


def parse(request: Request) -> Signed:
    """Read the signature's parts; `timestamp` is the end of its time, in seconds since the epoch."""
    given = {name: _value(value) for name, _, value in _parameters(request)}
    token = given.get("x-amz-security-token") or request.header("x-amz-security-token") or ""
    return Signed(
        given["AWSAccessKeyId"], "", "", "s3", (), given["Signature"], given["Expires"], token, in_query=True
    )  # fmt: skip


def verify(request: Request, signed: Signed, secret: str, now: float) -> None:
    """Compare the signature with the one that `secret` gives.

    Raises:
        SignatureError: it differs, or its time is over.
    """
    if _SECONDS.fullmatch(signed.timestamp) is None:
        message = f"Invalid date (should be seconds since epoch): {signed.timestamp}"
        raise SignatureError("AccessDenied", message)
    if now > int(signed.timestamp):
        raise request_expired()
    expected = base64.b64encode(
        hmac.digest(secret.encode(), _to_sign(request, signed).encode(), "sha1")
    )
    if not hmac.compare_digest(expected, signed.signature.encode()):
        raise mismatch()


def _to_sign(request: Request, signed: Signed) -> str:
    amazon: dict[str, str] = {}
    for name, value in request.headers:
        if name.startswith("x-amz-"):
            amazon[name] = f"{amazon[name]},{value.strip()}" if name in amazon else value.strip()
    resources: list[tuple[str, str]] = []
    for name, sign, value in _parameters(request):
        if name.lower().startswith(
            "x-amz-"
        ):  # what botocore puts into the URL in the place of a header
            amazon.setdefault(name.lower(), _value(value))
        elif name in _SUBRESOURCES:
            resources.append((name, sign + _value(value)))
    return "\n".join([
        request.method,
        request.header("content-md5") or "",
        request.header("content-type") or "",
        signed.timestamp,
        *(f"{name}:{amazon[name]}" for name in sorted(amazon)),
        request.path + ("?" + "&".join(map("".join, sorted(resources))) if resources else ""),
    ])  # fmt: skip


def _parameters(request: Request) -> list[tuple[str, str, str]]:
    return [part.partition("=") for part in request.query.split("&") if part]


def _value(encoded: str) -> str:
    return unquote(encoded.replace("+", " "))

"""Check S3's presigned URLs of Signature Version 2. No I/O: the secret and the time are parameters.

boto3 makes such URLs by default in us-east-1. Other forms of version 2 are refused: everything else
has to be signed by version 4.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import unquote, urlsplit

from botocore.auth import HmacV1QueryAuth
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from terralive_sandbox.access.sigv4 import (
    Request,
    SignatureError,
    Signed,
    mismatch,
    request_expired,
    url_of,
)

_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_PARAMETERS: Final = frozenset({"AWSAccessKeyId", "Signature", "Expires"})


def is_presigned(request: Request) -> bool:
    """Return whether a request carries a signature of version 2 in its query."""
    if request.header("authorization") is not None:
        return False
    return _parameters(request).keys() >= _PARAMETERS


def parse(request: Request) -> Signed:
    """Read the signature's parts of a presigned request.

    `timestamp` is when it expires, in seconds since 1970.
    """
    parameters = _parameters(request)
    token = parameters.get("x-amz-security-token") or request.header("x-amz-security-token")
    return Signed(
        access_key_id=parameters["AWSAccessKeyId"],
        date="",
        region="",
        service="s3",
        signed_headers=(),
        signature=parameters["Signature"],
        timestamp=parameters["Expires"],
        token=token or "",
        in_query=True,
    )


def verify(request: Request, signed: Signed, secret: str, now: float) -> None:
    """Compare the signature with the one that `secret` gives at `now` (seconds since 1970).

    Raises:
        SignatureError: they differ, or the URL has expired.
    """
    if _SECONDS.fullmatch(signed.timestamp) is None:
        message = f"Invalid date (should be seconds since epoch): {signed.timestamp}"
        raise SignatureError("AccessDenied", message)
    if now > int(signed.timestamp):
        raise request_expired()
    headers = HTTPHeaders()
    for name, value in request.headers:
        headers[name] = value
    for name, value in _parameters(request).items():
        lower_name = name.lower()
        # botocore moves these headers into the URL.
        if lower_name.startswith("x-amz-") and lower_name not in headers:
            headers[lower_name] = value
    mapping = cast("Mapping[str, str]", headers)  # its stubs do not know that it is one
    signer = _ReceivedUrl(signed, secret)
    url = urlsplit(f"{url_of(request)}?{request.query}")
    expected = signer.sign_string(signer.canonical_string(request.method, url, mapping))
    if not hmac.compare_digest(expected.encode(), signed.signature.encode()):
        raise mismatch()


class _ReceivedUrl(HmacV1QueryAuth):
    """botocore's signer with the time of expiry that the URL has."""

    def __init__(self, signed: Signed, secret: str) -> None:
        super().__init__(Credentials(signed.access_key_id, secret))
        self._expires_at = signed.timestamp

    def _get_date(self) -> str:
        return self._expires_at


def _parameters(request: Request) -> dict[str, str]:
    """Return the query's parameters with their values decoded."""
    parameters: dict[str, str] = {}
    for part in request.query.split("&"):
        name, _, value = part.partition("=")
        if name:
            parameters[name] = unquote(value.replace("+", " "))
    return parameters

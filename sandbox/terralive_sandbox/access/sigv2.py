"""Check S3's presigned URLs of Signature Version 2. No I/O: the secret and the time are parameters.

boto3 makes such URLs by default in us-east-1. Other forms of version 2 are refused: everything else
has to be signed by version 4.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import urlsplit

from botocore.auth import HmacV1QueryAuth
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from terralive_sandbox.access.sigv4 import EXPIRED, Request, SignatureError, Signed, compare

_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_PARAMETERS: Final = frozenset({"AWSAccessKeyId", "Signature", "Expires"})


class _ReceivedUrl(HmacV1QueryAuth):
    """botocore's signer with the time of expiry that the URL has."""

    # Set before a signature is computed.
    expires_at: str

    def _get_date(self) -> str:
        return self.expires_at


def is_presigned(request: Request) -> bool:
    """Return whether a request carries a signature of version 2 in its query."""
    if request.header("authorization") is not None:
        return False
    return dict(request.parameters()).keys() >= _PARAMETERS


def parse(request: Request) -> Signed:
    """Read the signature's parts of a presigned request.

    `timestamp` is when it expires, in seconds since 1970.
    """
    parameters = dict(request.parameters())
    token = parameters.get("x-amz-security-token") or request.header("x-amz-security-token")
    return Signed(
        access_key_id=parameters["AWSAccessKeyId"],
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
        raise SignatureError("AccessDenied", EXPIRED)
    headers = HTTPHeaders()
    for name, value in request.headers:
        headers[name] = value
    for name, value in dict(request.parameters()).items():
        # botocore moves these headers into the URL.
        if name.lower().startswith("x-amz-") and name not in headers:
            headers[name.lower()] = value
    signer = _ReceivedUrl(Credentials(signed.access_key_id, secret))
    signer.expires_at = signed.timestamp
    mapping = cast("Mapping[str, str]", headers)  # its stubs do not know that it is one
    url = urlsplit(request.url(request.query))
    compare(signer.get_signature(request.method, url, mapping), signed)

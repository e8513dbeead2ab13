"""The headers with which stubs and relays connect to a debug stack."""

from __future__ import annotations

import os
import time

from terralive_relay.connection.sigv4 import Credentials, sign_upgrade
from terralive_stub.protocol.token import HEADER, NONCE_BYTES, Api, make_token, signing_key

SECRET = bytes(range(32))


def token(
    api: Api, subject: str, secret: bytes, *, key: bytes | None = None, late_s: float = 0
) -> str:
    """Return a token, signed by the stage's secret or by a key, `late_s` seconds old."""
    signed_by = key or signing_key(secret, api, subject)
    nonce = os.urandom(NONCE_BYTES)
    return make_token(api, subject, signed_by, now=time.time() - late_s, nonce=nonce)


def stub_headers(function_arn: str, secret: bytes, *, late_s: float = 0) -> dict[str, str]:
    return {HEADER: token(Api.STUB, function_arn, secret, late_s=late_s)}


def signature(
    url: str, region: str, credentials: Credentials, *, late_s: float = 0
) -> dict[str, str]:
    """Return the headers that sign an upgrade, without Host, which the client sends by itself."""
    headers = sign_upgrade(url, region, credentials, time.time() - late_s)
    del headers["Host"]
    return headers


def relay_headers(
    url: str,
    region: str,
    credentials: Credentials,
    caller_arn: str,
    secret: bytes,
    *,
    late_s: float = 0,
) -> dict[str, str]:
    """Return the headers of a relay; `late_s` makes both signature and token older."""
    return {
        **signature(url, region, credentials, late_s=late_s),
        HEADER: token(Api.RELAY, caller_arn, secret, late_s=late_s),
    }

"""Headers of requests that are signed: by botocore, or as stubs and relays connect.

botocore signs for addresses that no AWS client knows (APIs, function URLs).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from terralive_sandbox.info import SandboxInfo
from terralive_stub.protocol.token import HEADER, NONCE_BYTES, Api, make_token, signing_key
from terralive_stub.shared.sigv4 import Credentials, sign_upgrade

SECRET = bytes(range(32))


def signed_headers(
    info: SandboxInfo, url: str, keys: Mapping[str, str] | None = None, *, service: str
) -> dict[str, str]:
    """Return the headers that sign a GET request.

    Args:
        info: the sandbox.
        url: the address; its host name is signed too.
        keys: `AccessKeyId`, `SecretAccessKey` and, for temporary keys, `SessionToken`; the
            developer's keys if they are left out.
        service: the service's name in the signature, for example `execute-api`.
    """
    credentials = BotocoreCredentials(info.access_key_id, info.secret_access_key)
    if keys is not None:
        credentials = BotocoreCredentials(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys.get("SessionToken")
        )
    request = AWSRequest("GET", url)
    SigV4Auth(credentials, service, info.region).add_auth(request)
    return dict(request.headers.items())


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

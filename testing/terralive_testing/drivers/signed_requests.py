"""Requests that botocore signs, for addresses that no AWS client knows (APIs, function URLs)."""

from __future__ import annotations

from collections.abc import Mapping

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from terralive_sandbox.info import SandboxInfo


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
    credentials = Credentials(info.access_key_id, info.secret_access_key)
    if keys is not None:
        credentials = Credentials(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys.get("SessionToken")
        )
    request = AWSRequest("GET", url)
    SigV4Auth(credentials, service, info.region).add_auth(request)
    return dict(request.headers.items())

"""Downloads the code of deployed functions from the links that Lambda gives.

https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCodeLocation.html
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from terralive_cli.network.trust import ca_bundle

_TIMEOUT_SECONDS: Final = 10


class NotDownloadedError(Exception):
    """Code cannot be downloaded. Its text is the reason."""


def downloaded(location: str, *, tail_bytes: int = 0) -> bytes:
    """Download a zip file.

    Args:
        location: the link, as GetFunction answers with it.
        tail_bytes: download only so many bytes at its end, if the server can do that; 0 for all.

    Raises:
        NotDownloadedError: it cannot be downloaded, or an emulator gives no link.
    """
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415  # heavy
    from botocore.exceptions import HTTPClientError  # noqa: PLC0415  # heavy
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415  # heavy
    from botocore.utils import get_environ_proxies  # noqa: PLC0415  # heavy

    if not location.startswith("http"):
        message = "its code cannot be downloaded from here"
        raise NotDownloadedError(message)
    headers = {}
    if tail_bytes:
        headers["Range"] = f"bytes=-{tail_bytes}"
    # What boto3 uses for AWS's services.
    verify: Any = ca_bundle() or True
    session = URLLib3Session(
        verify=verify, proxies=get_environ_proxies(location), timeout=_TIMEOUT_SECONDS
    )
    request = AWSRequest("GET", location, headers=headers)
    try:
        response: Any = session.send(request.prepare())
        content = bytes(response.content)
    except HTTPClientError:
        # The text of such an error contains the link, which works for everybody who has it.
        message = "its code could not be downloaded"
        raise NotDownloadedError(message) from None
    if response.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        message = f"its code could not be downloaded (HTTP {response.status_code})"
        raise NotDownloadedError(message)
    return content

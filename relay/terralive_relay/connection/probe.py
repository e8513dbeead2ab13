"""One request for a WebSocket, without a signature, to see what answers.

Nothing is sent over a WebSocket that opens, and the proxy is the one that the relay's connections
use: websocket-client takes it from the environment.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from websocket import (
    WebSocketBadStatusException,
    WebSocketException,
    create_connection,
)

from terralive_stub.shared.endpoints import reachable, websocket_url
from terralive_stub.shared.trust_store import untrusted

OPEN: Final = 101  # HTTP's "switching protocols"
_CONNECT_SECONDS: Final = 10.0
# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH, which it reports after it has trusted the authority.
_OTHER_NAME: Final = 62


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to a request for a WebSocket.

    Attributes:
        status: the HTTP status; 101 for an open WebSocket, 0 where there was no answer.
        headers: the headers of the answer, with names in lower case.
        error: why there was no answer; "" for an answer.
        is_untrusted: true if the certificate is not trusted.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    is_untrusted: bool = False


def ask(url: str, tls: ssl.SSLContext | None) -> Answer:
    """Ask for a WebSocket.

    Args:
        url: the address.
        tls: the certificate authorities that are trusted; None for a connection without TLS.
    """
    address = reachable(websocket_url(url))
    try:
        connection = create_connection(
            address.url,
            timeout=_CONNECT_SECONDS,
            host=address.host or None,
            sslopt={"context": tls, "server_hostname": address.name},
            suppress_origin=True,
        )
    except WebSocketBadStatusException as refused:
        headers = {name.lower(): value for name, value in (refused.resp_headers or {}).items()}
        return Answer(refused.status_code, headers)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _OTHER_NAME:
            # The certificate of the region's APIs. A proxy's would have been made for this name.
            return Answer(OPEN)
        return Answer(error=untrusted(error, address.name), is_untrusted=True)
    except (OSError, WebSocketException) as error:
        return Answer(error=_text(error))
    connection.close()
    return Answer(OPEN)


def _text(error: Exception) -> str:
    text = str(getattr(error, "strerror", None) or error).rstrip(".")
    return text or type(error).__name__

"""Addresses of WebSocket APIs on AWS and on AWS-compatible endpoints (emulators).

AWS tells an API's address as `wss://ID.execute-api.REGION.amazonaws.com`. Emulators tell
`http://ID.execute-api.localhost:PORT`, or an address with a path. Not every system resolves names
below `localhost`; RFC 6761, section 6.3, says that they are the loopback address.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

_WEBSOCKET_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Reachable:
    """An address that this machine can connect to.

    Attributes:
        url: the URL to connect to.
        host: the `Host` header, where it is not that of `url`; "" otherwise.
        name: the name in the server's certificate: the host of the original URL.
    """

    url: str
    host: str
    name: str


def websocket_url(url: str) -> str:
    """Return the URL with the scheme `ws` or `wss`; `http` and `https` stand for these.

    Raises:
        ValueError: it is no URL of a WebSocket API.
    """
    parts = urlsplit(url)
    scheme = _WEBSOCKET_SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ValueError(f"{url!r:.200} is not a URL that begins with wss://, ws:// or http(s)://")
    return urlunsplit(parts._replace(scheme=scheme))


def resolves(name: str) -> bool:
    """Tell whether the system knows an address of a host name."""
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return False
    return True


def reachable(url: str, known: Callable[[str], bool] = resolves) -> Reachable:
    """Return the loopback address for a name below `localhost` that the system does not resolve.

    Args:
        url: a URL of any scheme.
        known: tells whether the system resolves a name.
    """
    parts = urlsplit(url)
    name = parts.hostname or ""
    if not name.endswith(".localhost") or known(name):
        return Reachable(url, "", name)
    loopback = _LOOPBACK
    if parts.port is not None:
        loopback = f"{_LOOPBACK}:{parts.port}"
    return Reachable(urlunsplit(parts._replace(netloc=loopback)), parts.netloc, name)

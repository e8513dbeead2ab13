"""Issuers of tokens that the sandbox takes keys from. No I/O, and no moto.

The sandbox asks only servers of this machine. A user pool of Amazon Cognito is one of moto's, whose
key is a file.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}
_USER_POOL: Final = re.compile(r"https://cognito-idp\.[a-z0-9-]+\.amazonaws\.com/[\w-]+")


def is_on_loopback(url: str) -> bool:
    """Return whether an address is one of this machine's, by HTTP or HTTPS."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and parts.hostname in _LOOPBACK


def is_user_pool(issuer: str) -> bool:
    """Return whether an issuer is a user pool of Amazon Cognito."""
    return _USER_POOL.fullmatch(issuer) is not None


def is_emulated(issuer: str) -> bool:
    """Return whether the sandbox takes tokens of an issuer."""
    return is_on_loopback(issuer) or is_user_pool(issuer)

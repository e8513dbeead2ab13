"""The token with which stubs and relays connect to the debug stack. Pure: no clock, no randomness.

Every attempt to connect carries a new token in the header `X-Terralive-Token`. It proves that its
sender knows the stage's secret, or a key derived from it, and names the sender:

    VERSION.API.SUBJECT.TIME.NONCE.SIGNATURE

| part | content |
|---|---|
| version | `1` |
| API | the API that it is for: `relay` or `stub` |
| subject | the sender's ARN in base64url: the function of a stub, the caller of a relay |
| time | seconds since the Unix epoch |
| nonce | 16 random bytes in hex, so that the broker accepts each token once |
| signature | HMAC-SHA-256 of everything before it, in hex |

The key of the signature is derived from the secret for one API and one subject. So a key that is
given away for one function (a stub image, whose settings are in Terraform's state) opens nothing
else.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

HEADER: Final = "X-Terralive-Token"
SECRET_BYTES: Final = 32
NONCE_BYTES: Final = 16
# The difference between two machines' clocks that is accepted, as in AWS's own signatures:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
CLOCK_DIFFERENCE_SECONDS: Final = 5 * 60
# A token of a clock that is ahead stays acceptable for this long, so its nonce is kept as long.
NONCE_SECONDS: Final = 2 * CLOCK_DIFFERENCE_SECONDS
_VERSION: Final = "1"
# The ARN of a role with a path of the greatest length has fewer characters:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
_SUBJECT_CHARACTERS: Final = 1024
_SUBJECT: Final = re.compile(f"[!-~]{{1,{_SUBJECT_CHARACTERS}}}")
_TOKEN: Final = re.compile(
    r"(?P<version>[0-9]{1,4})\.(?P<api>[a-z]{1,16})\.(?P<subject>[A-Za-z0-9_-]{2,1366})"
    r"\.(?P<time>[0-9]{1,12})\.(?P<nonce>[0-9a-f]{32})\.(?P<signature>[0-9a-f]{64})"
)
_KEY_PURPOSE: Final = b"terralive token key 1\0"


class Api(StrEnum):
    """One of the debug stack's two WebSocket APIs, and who connects to it."""

    RELAY = "relay"
    STUB = "stub"


class TokenProblem(StrEnum):
    """The reason why a token is refused."""

    MISSING = "token-missing"
    MALFORMED = "token-malformed"
    WRONG_VERSION = "token-of-another-version"
    WRONG_API = "token-for-the-other-api"
    WRONG_SIGNATURE = "token-not-signed-by-this-stage"
    TOO_OLD = "token-too-old"
    TOO_NEW = "token-from-the-future"


@dataclass(frozen=True, slots=True)
class Token:
    """The content of a token whose signature is right.

    Attributes:
        api: the API that it is for.
        subject: the sender's ARN.
        time: when it was made, in seconds since the Unix epoch.
        nonce: the number by which the broker recognises a token that is used twice.
    """

    api: Api
    subject: str
    time: int
    nonce: str


def function_key(secret: bytes, function_arn: str) -> bytes:
    """Return the key with which the stub of one function signs its tokens."""
    return signing_key(secret, Api.STUB, function_arn)


def signing_key(secret: bytes, api: Api, subject: str) -> bytes:
    """Return the key of one sender, derived from the stage's secret."""
    return hmac.digest(secret, _KEY_PURPOSE + f"{api}\0{subject}".encode(), "sha256")


def make_token(api: Api, subject: str, key: bytes, *, now: float, nonce: bytes) -> str:
    """Return a token.

    Args:
        api: the API that it is for.
        subject: the sender's ARN.
        key: the sender's key; see `signing_key`.
        now: seconds since the Unix epoch.
        nonce: `NONCE_BYTES` random bytes.

    Raises:
        ValueError: the subject is not an ARN, or the nonce has another length.
    """
    if not _SUBJECT.fullmatch(subject) or len(nonce) != NONCE_BYTES:
        raise ValueError("a token needs an ARN and a nonce")
    encoded = base64.urlsafe_b64encode(subject.encode()).decode().rstrip("=")
    signed = f"{_VERSION}.{api}.{encoded}.{int(now)}.{nonce.hex()}"
    return f"{signed}.{_signature(key, signed)}"


def check_token(text: str, api: Api, secret: bytes, *, now: float) -> Token | TokenProblem:
    """Return the content of a token, or the reason why it is refused.

    Whether its nonce was used before is not known here.

    Args:
        text: the header's value; "" where there is none.
        api: the API that the sender connects to.
        secret: the stage's secret.
        now: seconds since the Unix epoch.
    """
    claimed = _read(text, api)
    if isinstance(claimed, TokenProblem):
        return claimed
    signed, _, signature = text.rpartition(".")
    expected = _signature(signing_key(secret, api, claimed.subject), signed)
    if not hmac.compare_digest(signature, expected):
        return TokenProblem.WRONG_SIGNATURE
    age_s = now - claimed.time
    if age_s > CLOCK_DIFFERENCE_SECONDS:
        return TokenProblem.TOO_OLD
    if age_s < -CLOCK_DIFFERENCE_SECONDS:
        return TokenProblem.TOO_NEW
    return claimed


def _read(text: str, api: Api) -> Token | TokenProblem:
    """Read a token; its signature and its time are not checked yet."""
    if not text:
        return TokenProblem.MISSING
    found = _TOKEN.fullmatch(text)
    if found is None:
        return TokenProblem.MALFORMED
    if found["version"] != _VERSION:
        return TokenProblem.WRONG_VERSION
    if found["api"] != api:
        return TokenProblem.WRONG_API
    subject = _decoded(found["subject"])
    if not subject:
        return TokenProblem.MALFORMED
    return Token(api, subject, int(found["time"]), found["nonce"])


def _signature(key: bytes, signed: str) -> str:
    return hmac.digest(key, signed.encode(), "sha256").hex()


def _decoded(encoded: str) -> str:
    """Return the subject; "" if the text does not encode one."""
    try:
        subject = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode("ascii")
    except ValueError:  # also binascii.Error and UnicodeDecodeError
        return ""
    if not _SUBJECT.fullmatch(subject):
        return ""
    return subject

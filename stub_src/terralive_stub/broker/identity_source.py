"""The source of a relay's identity. The command line imports this module with every command."""

from __future__ import annotations

from enum import StrEnum


class IdentitySource(StrEnum):
    """The source of a relay's identity. It is the broker's environment variable `RELAY_IDENTITY`.

    Not every emulator of AWS tells who connects, or runs a Lambda authorizer. With `TOKEN`, the
    token alone decides, for both APIs.
    """

    IAM = "iam"
    TOKEN = "token"  # noqa: S105  # the name of a setting's value

"""The base class of every error that a terralive user may see.

It is in this package so that every part can raise it; only the command line prints it. A subclass
is a family of errors with one exit code:

    TerraliveError            1  failed
    +-- ConfigurationError    2  usage or configuration
    +-- TerraformError        3  terraform failed
    +-- CredentialsError      4  credentials or permissions
    +-- StageHeldError        5  the stage is held by somebody else
"""

from __future__ import annotations

from typing import ClassVar


class TerraliveError(Exception):
    """A failure that the user can act on.

    Args:
        reference: a kebab-case name that stays the same across releases (`stage-protected`).
        message: what happened, where and why, in a plain sentence or a few lines.
        hint: the next step for the user.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, reference: str, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.reference = reference
        self.message = message
        self.hint = hint


class ConfigurationError(TerraliveError):
    """The command line or the configuration is invalid, or asks for something impossible."""

    exit_code = 2


class TerraformError(TerraliveError):
    """Terraform itself failed."""

    exit_code = 3


class CredentialsError(TerraliveError):
    """AWS does not know the caller, denies the call, or cannot be reached."""

    exit_code = 4


class StageHeldError(TerraliveError):
    """Another person's relay holds the stage's lease."""

    exit_code = 5

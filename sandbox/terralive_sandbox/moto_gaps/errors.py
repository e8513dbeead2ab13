"""The named error of everything that the sandbox leaves out."""

from __future__ import annotations

from moto.core.exceptions import JsonRESTError


def not_emulated(what: str) -> JsonRESTError:
    """Build the error that a moto backend raises for it."""
    error = JsonRESTError("NotEmulatedBySandbox", f"terralive's sandbox does not emulate {what}.")
    error.code = 501
    return error

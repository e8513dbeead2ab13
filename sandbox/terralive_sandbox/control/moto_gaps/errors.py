"""The errors that the sandbox adds to moto's, above all for everything that it leaves out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn

from moto.core.exceptions import JsonRESTError

_NOT_IMPLEMENTED: Final = 501


def api_error(name: str, message: str, status: int) -> JsonRESTError:
    """Build an error of a JSON API with its name and HTTP status."""
    error = JsonRESTError(name, message)
    error.code = status
    return error


def not_emulated(what: str) -> JsonRESTError:
    """Build the error for something that the sandbox leaves out."""
    message = f"terralive's sandbox does not emulate {what}."
    return api_error("NotEmulatedBySandbox", message, _NOT_IMPLEMENTED)


def not_emulated_method(what: str) -> Callable[..., NoReturn]:
    """Build a method that replaces one of moto's that would only seem to work."""

    def raise_not_emulated(*args: object, **kwargs: object) -> NoReturn:
        del args, kwargs
        raise not_emulated(what)

    return raise_not_emulated

"""The errors that the sandbox adds to moto's, above all for everything that it leaves out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import NoReturn

from moto.core.exceptions import JsonRESTError


def api_error(name: str, message: str, status: int) -> JsonRESTError:
    """Build an error of a JSON API with its name and HTTP status."""
    error = JsonRESTError(name, message)
    error.code = status
    return error


def not_emulated(what: str) -> JsonRESTError:
    """Build the error for something that the sandbox leaves out."""
    message = f"terralive's sandbox does not emulate {what}."
    return api_error("NotEmulatedBySandbox", message, HTTPStatus.NOT_IMPLEMENTED)


def not_emulated_method(what: str) -> Callable[..., NoReturn]:
    """Build a method that replaces one of moto's that would only seem to work."""

    def raise_not_emulated(*args: object, **kwargs: object) -> NoReturn:
        del args, kwargs
        raise not_emulated(what)

    return raise_not_emulated


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the greatest value of a setting of Lambda."""

    least: int
    most: int

    def check(self, member: str, value: object) -> None:
        """Raise Lambda's error for a number out of bounds; `member` is the setting's name."""
        if not isinstance(value, int) or self.least <= value <= self.most:
            return
        bound = f"less than or equal to {self.most}"
        if value < self.least:
            bound = f"greater than or equal to {self.least}"
        raise JsonRESTError(
            "ValidationException",
            f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy "
            f"constraint: Member must have value {bound}",
        )

"""The named error of everything that the sandbox leaves out."""

from __future__ import annotations

from typing import NoReturn, Protocol

from moto.core.exceptions import JsonRESTError


def not_emulated(what: str) -> JsonRESTError:
    """Build the error that a moto backend raises for it."""
    error = JsonRESTError("NotEmulatedBySandbox", f"terralive's sandbox does not emulate {what}.")
    error.code = 501
    return error


class Refusal(Protocol):
    """Stands for any method of moto's."""

    def __call__(self, *args: object, **kwargs: object) -> NoReturn: ...


def refusing(what: str) -> Refusal:
    """What takes the place of a method of moto's that would only seem to work."""

    def refuse(*args: object, **kwargs: object) -> NoReturn:
        del args, kwargs
        raise not_emulated(what)

    return refuse

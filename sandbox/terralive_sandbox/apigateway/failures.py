"""The reasons why an integration gave no answer. Each kind of API has its own response to each."""

from __future__ import annotations

from enum import Enum, auto

from terralive_sandbox.functions.invoke_api import InvokeError


class Failure(Enum):
    """The reason why an integration gave no answer."""

    NOT_EMULATED = auto()
    NOT_CONFIGURED = auto()
    NOT_PERMITTED = auto()  # the function's resource policy does not let API Gateway invoke it
    TOO_LARGE = auto()  # the event is larger than Lambda takes
    REFUSED = auto()  # by Lambda, for another reason
    TIMED_OUT = auto()
    FUNCTION_FAILED = auto()
    MALFORMED = auto()  # the function's answer is not what a proxy integration has to give


class IntegrationError(Exception):
    """An integration gave no answer.

    The text is for the log. With NOT_EMULATED the client gets it too.

    Args:
        failure: the reason.
        text: the exception's text.
        answer: the function's error as JSON, with FUNCTION_FAILED.
    """

    def __init__(self, failure: Failure, text: str, answer: bytes = b"") -> None:
        if failure is Failure.NOT_EMULATED:
            text = f"NotEmulatedBySandbox: {text}"
        super().__init__(text)
        self.failure = failure
        self.answer = answer


def refused(error: InvokeError) -> IntegrationError:
    """Return the failure of an invocation that Lambda does not run."""
    failure = Failure.REFUSED
    if error.code == "RequestTooLargeException":
        failure = Failure.TOO_LARGE
    return IntegrationError(failure, f"{error.code}: {error.message}")


def function_failed(function: str, answer: bytes) -> IntegrationError:
    """Return the failure of a function that ended in an error.

    The log gets the error; the client gets API Gateway's own text.
    """
    text = answer.decode("utf-8", "replace")[:500]
    return IntegrationError(Failure.FUNCTION_FAILED, f"{function} failed: {text}", answer)

"""Links to the code of deployed functions, as GetFunction answers with them (`Code.Location`).

https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCodeLocation.html

A link works for everybody who has it, and cannot be guessed. A link of AWS works for ten minutes.
A link of the sandbox works until the function gets other code.
"""

from __future__ import annotations

import hmac
import secrets
from http import HTTPStatus
from typing import Final

from moto.awslambda.models import LambdaFunction

from terralive_sandbox.responses import Response, error_response

PREFIX: Final = "/_sandbox/code/"


class CodeLinks:
    """The links that were given.

    Args:
        endpoint: the address of the sandbox.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        # Signs the links of this run.
        self._key = secrets.token_bytes(32)
        # The functions by the last part of their link. moto's thread adds to it.
        self._functions: dict[str, LambdaFunction] = {}

    def link(self, function: LambdaFunction) -> str:
        """Return the link to a function's code; the same one for the same code."""
        name = self._name(function)
        self._functions[name] = function
        return f"{self._endpoint}{PREFIX}{name}"

    def answer(self, path: str) -> Response:
        """Answer a request for code with the zip file."""
        name = path.removeprefix(PREFIX)
        function = self._functions.get(name)
        if function is None or name != self._name(function):
            return error_response(HTTPStatus.FORBIDDEN, "AccessDenied", "Request has expired")
        return HTTPStatus.OK, [("content-type", "application/zip")], function.code_bytes

    def _name(self, function: LambdaFunction) -> str:
        text = f"{function.function_arn} {function.code_sha_256}"
        return hmac.new(self._key, text.encode(), "sha256").hexdigest()

"""A service invokes a function on its own behalf: if its resource policy lets it, and asynchronously."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from terralive_sandbox.asynchronous import AsynchronousInvocations
from terralive_sandbox.lambdas import Functions, InvokeError


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a destination does not take what a service has for it; trying again would not help.

    Attributes:
        code: as EventBridge names it in a dead letter.
        message: in AWS's words, where they are known.
    """

    code: str
    message: str


Deliver: TypeAlias = Callable[[str, object, str, str], Refusal | None]
"""`(function_arn, event, service principal, source_arn)`; returns at once, and may be called from any thread."""


class Deliveries:
    """Hands events of services to functions. Build it on the event loop that runs them."""

    def __init__(self, functions: Functions, asynchronous: AsynchronousInvocations) -> None:
        self._functions = functions
        self._asynchronous = asynchronous
        self._loop = asyncio.get_running_loop()

    def refusal(self, function_arn: str, service: str, source_arn: str) -> Refusal | None:
        """Whether there is such a function, and its resource policy lets the service invoke it for `source_arn`."""
        try:
            function = self._functions.find(function_arn)
        except InvokeError as error:
            return Refusal("NO_RESOURCE", error.message)
        if not self._functions.allows(function, service, source_arn, function_arn):
            message = (
                f"User: {service} is not authorized to perform: lambda:InvokeFunction on resource: {function_arn} "
                "because no resource-based policy allows the lambda:InvokeFunction action"
            )
            return Refusal("NO_PERMISSIONS", message)
        return None

    def deliver(self, function_arn: str, event: object, service: str, source_arn: str) -> Refusal | None:
        """Invoke asynchronously; a refusal is also said in the log, as the service's caller never learns of it."""
        if refused := self.refusal(function_arn, service, source_arn):
            hint = ": aws_lambda_permission is missing" if refused.code == "NO_PERMISSIONS" else f": {refused.message}"
            sys.stderr.write(f"{source_arn} may not invoke {function_arn}{hint}\n")
            return refused
        self._loop.call_soon_threadsafe(self._accept, function_arn, json.dumps(event).encode(), source_arn)
        return None

    def _accept(self, function_arn: str, payload: bytes, source_arn: str) -> None:
        try:
            self._asynchronous.accept(function_arn, payload)
        except InvokeError as error:
            sys.stderr.write(f"{source_arn} -> {function_arn}: {error.message}\n")

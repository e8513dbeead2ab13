"""A service invokes a function on its own behalf: if its resource policy lets it, and asynchronously."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import TypeAlias

from terralive_sandbox.asynchronous import AsynchronousInvocations
from terralive_sandbox.lambdas import Functions, InvokeError

Deliver: TypeAlias = Callable[[str, dict[str, object], str, str], None]
"""`(function_arn, event, service principal, source_arn)`; returns at once, and may be called from any thread."""


class Deliveries:
    """Hands events of services to functions. Build it on the event loop that runs them."""

    def __init__(self, functions: Functions, asynchronous: AsynchronousInvocations) -> None:
        self._functions = functions
        self._asynchronous = asynchronous
        self._loop = asyncio.get_running_loop()

    def deliver(self, function_arn: str, event: dict[str, object], service: str, source_arn: str) -> None:
        """Invoke asynchronously; a refusal is said in the log, as the service's caller never learns of it."""
        try:
            function = self._functions.find(function_arn)
        except InvokeError as error:
            sys.stderr.write(f"{source_arn} -> {function_arn}: {error.message}\n")
            return
        if not self._functions.allows(function, service, source_arn):
            sys.stderr.write(f"{source_arn} may not invoke {function_arn}: aws_lambda_permission is missing\n")
            return
        self._loop.call_soon_threadsafe(self._accept, function_arn, json.dumps(event).encode(), source_arn)

    def _accept(self, function_arn: str, payload: bytes, source_arn: str) -> None:
        try:
            self._asynchronous.accept(function_arn, payload)
        except InvokeError as error:
            sys.stderr.write(f"{source_arn} -> {function_arn}: {error.message}\n")

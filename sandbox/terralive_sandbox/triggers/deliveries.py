"""Services hand on what happens to functions, queues and topics.

Each by its own policy has to let them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

from terralive_sandbox.functions import destinations
from terralive_sandbox.functions.asynchronous import AsynchronousInvocations
from terralive_sandbox.functions.destinations import DestinationError, Service
from terralive_sandbox.functions.invoke_api import InvokeError
from terralive_sandbox.functions.registry import Functions


class Deliveries:
    """Build it on the event loop that runs the functions. Its methods run on the thread that owns moto's state.

    What they return is why a destination takes nothing, so that trying again would not help. It is
    said in the log as well, since a service's caller never learns of it.
    """

    def __init__(self, functions: Functions, asynchronous: AsynchronousInvocations) -> None:
        self._functions = functions
        self._asynchronous = asynchronous
        self._loop = asyncio.get_running_loop()

    def refusal(self, sender: Service, arn: str) -> DestinationError | None:
        """Whether there is such a destination, and its policy lets the service send there."""
        try:
            self._require(sender, arn)
        except DestinationError as error:
            return _logged(sender, arn, error)
        return None

    def send(
        self,
        sender: Service,
        arn: str,
        text: str,
        attributes: Mapping[str, str] | None = None,
        *,
        group: str | None = None,
        subject: str | None = None,
    ) -> DestinationError | None:
        """Send a message, or invoke a function asynchronously with JSON text.

        The rest is for messages only.
        """
        try:
            if not _is_function(arn):
                destinations.send(sender, arn, text, attributes or {}, group=group, subject=subject)
                return None
            self._require(sender, arn)
        except DestinationError as error:
            return _logged(sender, arn, error)
        self._loop.call_soon_threadsafe(self._accept, sender, arn, text.encode())
        return None

    def _require(self, sender: Service, arn: str) -> None:
        if not _is_function(arn):
            destinations.require(sender, arn)
            return
        try:
            function = self._functions.find(arn)
        except InvokeError as error:
            raise DestinationError(error.message, "NO_RESOURCE") from error
        if not self._functions.allows(function, sender.principal, sender.source_arn, arn):
            raise DestinationError(
                f"User: {sender.principal} is not authorized to perform: lambda:InvokeFunction on resource: {arn} "
                "because no resource-based policy allows the lambda:InvokeFunction action",
                "NO_PERMISSIONS",
            )

    def _accept(self, sender: Service, function_arn: str, payload: bytes) -> None:
        try:
            self._asynchronous.accept(function_arn, payload)
        except InvokeError as error:
            sys.stderr.write(f"{sender.source_arn} -> {function_arn}: {error.message}\n")


def _is_function(arn: str) -> bool:
    return arn.startswith("arn:aws:lambda:")


def _logged(sender: Service, arn: str, error: DestinationError) -> DestinationError:
    missing = "aws_lambda_permission" if _is_function(arn) else "the policy of the queue or topic"
    hint = f": {missing} is missing" if error.code == "NO_PERMISSIONS" else ""
    sys.stderr.write(f"{sender.source_arn} -> {arn}: {error}{hint}\n")
    return error

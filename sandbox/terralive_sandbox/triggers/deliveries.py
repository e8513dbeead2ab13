"""Let a service (SNS, S3, EventBridge) send to functions, queues and topics.

The policy of the function, queue or topic has to allow it, or the role that the service assumes
needs permission.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Final

from terralive_sandbox.access import identity
from terralive_sandbox.functions import destinations
from terralive_sandbox.functions.asynchronous import AsynchronousInvocations
from terralive_sandbox.functions.destinations import DestinationError, Service
from terralive_sandbox.functions.invoke_api import InvokeError
from terralive_sandbox.functions.registry import Functions
from terralive_sandbox.refusals import Refusals

# The beginnings of the ARNs that services can send to.
DESTINATIONS: Final = ("arn:aws:lambda:", "arn:aws:sqs:", "arn:aws:sns:")


class Deliveries:
    """Sends messages of services, and invokes functions for them.

    Build it on the event loop that runs the functions. Its methods run on the thread that owns
    moto's state. They return the error if a destination accepts nothing, so that another attempt
    would not help. The error is also in the sandbox's log, since a service's caller does not get
    it.
    """

    def __init__(
        self, functions: Functions, asynchronous: AsynchronousInvocations, refusals: Refusals
    ) -> None:
        self._functions = functions
        self._asynchronous = asynchronous
        self._refusals = refusals
        self._loop = asyncio.get_running_loop()

    def check(self, sender: Service, arn: str) -> DestinationError | None:
        """Return an error unless the destination exists and the service may send to it."""
        try:
            if _is_function(arn):
                self._require_invoke(sender, arn)
            else:
                destinations.require(sender.role or sender, arn)
        except DestinationError as error:
            self._refuse(sender, arn, error)
            return error
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
        """Send a message, or invoke a function asynchronously.

        Args:
            sender: the service.
            arn: the function, queue or topic.
            text: the message; for a function JSON text.
            attributes: the message's string attributes; not for functions.
            group: the message group of a FIFO queue.
            subject: the subject of a topic's message.
        """
        try:
            if _is_function(arn):
                self._require_invoke(sender, arn)
                # This is the thread that owns moto's state. Functions run on the event loop.
                self._loop.call_soon_threadsafe(self._accept, sender, arn, text.encode())
            else:
                sending_as = sender.role or sender
                destinations.send(
                    sending_as, arn, text, attributes or {}, group=group, subject=subject
                )
        except DestinationError as error:
            self._refuse(sender, arn, error)
            return error
        return None

    def _require_invoke(self, sender: Service, arn: str) -> None:
        """Raise DestinationError unless the function exists and the service may invoke it."""
        try:
            function = self._functions.find(arn)
        except InvokeError as error:
            raise DestinationError(error.message, "NO_RESOURCE") from error
        if sender.role:
            if not identity.role_may(sender.role, "lambda:InvokeFunction", arn):
                message = f"{sender.role} may not lambda:InvokeFunction on {arn}"
                raise DestinationError(message, "NO_PERMISSIONS")
            return
        is_allowed = self._functions.allows(
            function,
            sender.principal,
            sender.source_arn,
            arn,
            source_account=sender.source_account,
        )
        if not is_allowed:
            raise DestinationError(
                f"User: {sender.principal} is not authorized to perform: lambda:InvokeFunction on "
                f"resource: {arn} because no resource-based policy allows the "
                "lambda:InvokeFunction action",
                "NO_PERMISSIONS",
            )

    def _refuse(self, sender: Service, arn: str, error: DestinationError) -> None:
        """Report an error, and what is missing in Terraform."""
        hint = ""
        if error.code == "NO_PERMISSIONS":
            missing = "the policy of the queue or topic"
            if _is_function(arn):
                missing = "aws_lambda_permission"
            if sender.role:
                missing = f"a permission in the role's policies, or {missing} for the role,"
            hint = f": {missing} is missing"
        self._refusals.add(f"{sender.source_arn} -> {arn}: {error}{hint}")

    def _accept(self, sender: Service, function_arn: str, payload: bytes) -> None:
        try:
            self._asynchronous.accept(function_arn, payload)
        except InvokeError as error:
            sys.stderr.write(f"{sender.source_arn} -> {function_arn}: {error.message}\n")


def _is_function(arn: str) -> bool:
    return arn.startswith("arn:aws:lambda:")

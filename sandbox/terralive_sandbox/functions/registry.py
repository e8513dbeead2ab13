"""The functions of all accounts and regions: find one, decide who may invoke it, invoke it.

`Functions` belongs to the event loop; `find`, `allows` and `policy` may run on any thread.
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import Callable
from http import HTTPStatus

from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.core.exceptions import JsonRESTError

from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_sandbox.control.moto_state import backend_of
from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.faults import FAILURE, FaultKind
from terralive_sandbox.function_names import FunctionName, not_reachable
from terralive_sandbox.functions.deployment import Deployments
from terralive_sandbox.functions.environments.builder import EnvironmentBuilder
from terralive_sandbox.functions.environments.workspace import Workspace
from terralive_sandbox.functions.invoke_api import (
    ConcurrentExecutions,
    InvokeError,
    InvokeResponse,
    check_size,
    check_tenant,
    new_trace_header,
    stopping,
    throttled,
    unqualified_arn,
)
from terralive_sandbox.functions.logs import LogWriter
from terralive_sandbox.functions.streams import ResponseStream
from terralive_sandbox.places import Place
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.limits import CONCURRENT_EXECUTIONS, SYNCHRONOUS_PAYLOAD_BYTES
from terralive_workers.runtime_api.server import RuntimeApi

_log = logging.getLogger("terralive.sandbox")


class Functions:
    """All functions of all accounts and regions.

    Args:
        endpoint: the value of `AWS_ENDPOINT_URL` for functions.
        control: the control plane.
        time_scale: what waiting times are multiplied by; a function's own timeout is not.
        concurrency: how many executions an account may have at once in a region; AWS gives most
            accounts 1,000.
        on_invoke: returns the fault that an invocation of the named function meets, or None.
    """

    def __init__(
        self,
        endpoint: str,
        control: ControlPlane,
        *,
        time_scale: float = 1.0,
        concurrency: int = CONCURRENT_EXECUTIONS,
        on_invoke: Callable[[str], FaultKind | None] = lambda _: None,
    ) -> None:
        # What waiting times are multiplied by. It never changes.
        self.time_scale = time_scale
        self._on_invoke = on_invoke
        self._executions = ConcurrentExecutions(concurrency)
        # The Runtime API that all function processes call; it has threads of its own.
        self._api = RuntimeApi()
        self._workspace = Workspace()
        self._log_writer = LogWriter(control)
        # True once `close` was called: no invocation begins any more.
        self._closed = False
        environments = EnvironmentBuilder(
            endpoint,
            control,
            self._log_writer,
            self._workspace,
            self._api,
            is_closed=lambda: self._closed,
        )
        self._deployments = Deployments(environments, self.find, time_scale=time_scale)

    def find(
        self, name_or_arn: str, qualifier: str | None = None, *, place: Place | None = None
    ) -> LambdaFunction:
        """Find a function by its name, its ARN or a part of it, each with or without a qualifier.

        Args:
            name_or_arn: a name or part of an ARN needs a place.
            qualifier: the version or alias, if the name has none.
            place: the account and region in which the function is looked for.

        Raises:
            InvokeError: ResourceNotFoundException.
        """
        message = f"Function not found: {name_or_arn}"
        found = FunctionName.parse(name_or_arn)
        if found is not None:
            place = place or Place("", "")
            region = found.place.region or place.region
            account = found.place.account or place.account
            backend = backend_of(lambda_backends, Place(account, region))
            if place.region not in {"", region}:
                message = not_reachable(region, place.region)
            elif backend is not None:
                # It fails if there is no such function, or no such version or alias.
                with contextlib.suppress(JsonRESTError):
                    function: LambdaFunction = backend.get_function(
                        found.name, found.qualifier or qualifier
                    )
                    return function
        raise InvokeError("ResourceNotFoundException", message, HTTPStatus.NOT_FOUND)

    def allows(
        self,
        function: LambdaFunction,
        service: str,
        source_arn: str,
        arn: str = "",
        *,
        source_account: str = "",
    ) -> bool:
        """Return true if the function's resource policy lets a service invoke it.

        Args:
            function: the function.
            service: the service's principal (`sns.amazonaws.com`).
            source_arn: the resource on whose behalf the service invokes the function.
            arn: the ARN that is invoked, with its qualifier, if it is not the function's own.
            source_account: the account of that resource, if its ARN does not tell it (S3).
        """
        source_account = source_account or Place.of(source_arn).account
        context = {"aws:SourceArn": source_arn, "aws:SourceAccount": source_account}
        resources = (arn or function.function_arn,)
        access = AccessRequest("lambda:InvokeFunction", resources, (service,), context)
        return decide([self.policy(function)], access) is Decision.ALLOWED

    def policy(self, function: LambdaFunction) -> str:
        """Return the function's resource policy as JSON text."""
        return json.dumps({"Statement": function.policy.statements})

    async def invoke(
        self,
        function: LambdaFunction,
        event: bytes,
        *,
        arn: str = "",
        request_id: str = "",
        client_context: str = "",
        trace_id: str = "",
        tenant_id: str = "",
        stream: ResponseStream | None = None,
    ) -> InvokeResponse:
        """Run a function and wait for its response.

        Args:
            function: the function, as `find` returns it.
            event: the event's JSON text; empty for `{}`.
            arn: the ARN that was invoked, if it is not the function's own.
            request_id: the AWS request id; empty for a new one.
            client_context: JSON text, or "".
            trace_id: the tracing header; empty for a new one.
            tenant_id: the tenant's id; "" for none.
            stream: takes the response if the function streams it. Without it, the response is
                returned as a whole.

        Raises:
            InvokeError: Lambda does not run it.
        """
        check_size(event, SYNCHRONOUS_PAYLOAD_BYTES, "RequestResponse")
        check_tenant(function, tenant_id)
        request_id = request_id or str(uuid.uuid4())

        def invocation(seconds: float) -> Invocation:
            return Invocation(
                request_id,
                function.function_name,
                arn or function.function_arn,
                Deadline.after(seconds, now=time.monotonic()),
                event or b"{}",
                trace_id=trace_id or new_trace_header(),
                client_context=client_context,
                tenant_id=tenant_id,
            )

        name = function.function_name
        # A fault rule acts before any limit counts and before the function runs.
        fault = self._on_invoke(name)
        if fault is not None:
            _log.debug("a fault rule meets an invocation of %s: %s", name, fault)
        if fault is FaultKind.THROTTLE:
            raise throttled()
        if fault is FaultKind.FAIL:
            version = str(function.version)
            return InvokeResponse(
                FAILURE, function_error=True, executed_version=version, error_type="Unhandled"
            )
        if self._closed:
            raise stopping()
        # All versions of a function share its reserved concurrency.
        unqualified = unqualified_arn(function.function_arn)
        reserved = self.find(unqualified).reserved_concurrency
        if reserved is not None:
            reserved = int(reserved)
        # Unpacking and the init phase count as a part of the execution.
        with self._executions.one(unqualified, reserved):
            try:
                fleet = await self._deployments.fleet_of(function)
                return await fleet.run(invocation, stream, tenant_id)
            except Exception as error:
                if self._closed:
                    # Its folders, or the Runtime API, went while it was prepared.
                    raise stopping() from error
                raise

    def occupy(self, executions: int) -> None:
        """Let other functions occupy so many executions of each account and region."""
        self._executions.occupied = executions

    async def close(self) -> None:
        """End every function process and remove the unpacked code."""
        # The processes end before the Runtime API that they call, and before their folders.
        self._closed = True
        self._log_writer.close()
        await self._deployments.close()
        await asyncio.to_thread(self._api.close)
        self._workspace.remove()

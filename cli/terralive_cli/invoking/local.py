"""Runs a function's local handler once, without AWS's Invoke, in the same workers as a session.

The handler gets the function's environment variables, as Lambda's API tells them, and its role's
credentials, if the caller may assume the role. It never gets the caller's own.
"""

from __future__ import annotations

import logging
import queue
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from terralive_cli.invoking.deployed import DeployedSettings
from terralive_relay.events import Sink
from terralive_relay.pool.records import PoolResult
from terralive_relay.served import ServedFunctions
from terralive_stub.errors import TerraliveError
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.limits import FUNCTION_TIMEOUT_SECONDS
from terralive_stub.shared.arns import place_of
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi

if TYPE_CHECKING:
    import boto3

_log: Final = logging.getLogger("terralive.cli")
# Lambda gives an init phase this time, which is no part of the timeout:
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
_INIT_SECONDS: Final = 10
_SESSION_NAME: Final = "terralive-invoke"
_LEAST_MEMORY: Final = 128


@dataclass(frozen=True, slots=True)
class LocalRun:
    """The settings and credentials that a local run takes from the deployed function.

    Attributes:
        settings: the deployed function's settings; None if they are not known.
        credentials: the variables with its role's credentials; {} if there are none.
    """

    settings: DeployedSettings | None = None
    credentials: Mapping[str, str] = field(repr=False, default_factory=dict)

    @property
    def timeout_s(self) -> int:
        """Return the time that a handler has, in seconds."""
        if self.settings is None or not self.settings.timeout_s:
            return FUNCTION_TIMEOUT_SECONDS
        return self.settings.timeout_s


def variables_of(function: LocalFunction, local_run: LocalRun) -> dict[str, str]:
    """Return the environment variables of a function in Lambda, with those that Lambda sets.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    region = place_of(function.arn).region
    memory_mb = _LEAST_MEMORY
    own: Mapping[str, str] = {}
    if local_run.settings is not None:
        own = local_run.settings.environment
        memory_mb = local_run.settings.memory_mb
    return {
        **own,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        **local_run.credentials,
    }


def role_credentials(
    session: boto3.Session, endpoint_url: str | None, role_arn: str
) -> dict[str, str]:
    """Assume a function's role, and return the variables with its credentials.

    {} where the role does not let the caller assume it: most roles of functions trust Lambda only.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    client = session.client("sts", endpoint_url=endpoint_url)
    try:
        answer = client.assume_role(RoleArn=role_arn, RoleSessionName=_SESSION_NAME)
    except (ClientError, BotoCoreError) as error:
        _log.debug("the role %s cannot be assumed: %s", role_arn, type(error).__name__)
        return {}
    credentials = answer["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    }


def invocation_of(
    function: LocalFunction, event: bytes, local_run: LocalRun, now: float
) -> Invocation:
    """Return the invocation of a local run.

    Args:
        function: the function.
        event: the event.
        local_run: what it gets from the deployed function.
        now: the monotonic clock.
    """
    return Invocation(
        request_id=str(uuid.uuid4()),
        function_name=function.name,
        function_arn=function.arn,
        deadline=Deadline.after(local_run.timeout_s + _INIT_SECONDS, now=now),
        event=event,
        environment=variables_of(function, local_run),
        attempt=uuid.uuid4().hex,
    )


def run_handler(function: LocalFunction, invocation: Invocation, publish: Sink) -> PoolResult:
    """Run a local handler once. Its worker, and everything that it has started, ends then.

    Args:
        function: the function.
        invocation: the invocation.
        publish: takes the handler's output; must not block.

    Raises:
        ConfigurationError: the function's runtime cannot run here.
        TerraliveError: `local-run-failed`.
    """
    ended: queue.SimpleQueue[PoolResult | Exception] = queue.SimpleQueue()
    api = RuntimeApi()
    try:
        served = ServedFunctions((function,), api, publish, publish, ended.put)
        try:
            served.start()
            submitted = served.pools[function.arn].submit(invocation)
            submitted.add_done_callback(_putting(ended.put))
            result = ended.get()
        finally:
            served.close()
    finally:
        api.close()
    if isinstance(result, Exception):
        raise TerraliveError("local-run-failed", f"The handler could not be run: {result}")
    return result


def _putting(put: Callable[[PoolResult], None]) -> Callable[[Future[PoolResult]], None]:
    """Return a callback that passes a future's result on. A pool's future has no exception."""
    return lambda future: put(future.result())

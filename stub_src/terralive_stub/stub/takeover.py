"""The stub in the runtime's place: it polls the Runtime API itself and never returns.

Event and response pass through as bytes, and an error keeps the shape of the handler's runtime.
Lambda's init phase ends when the stub asks for the first invocation. Before that, a stub that knows
its function's ARN connects. `live.py` is the entry point in a zip, `container.py` in an image.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from terralive_stub.protocol.named_errors import ErrorName, error_outcome
from terralive_stub.shared import trust_store
from terralive_stub.stub.fallback.lambda_api import LambdaApi
from terralive_stub.stub.runtime_client import RuntimeClient
from terralive_stub.stub.session import StubSession
from terralive_stub.stub.stub import Stub

_INITIALIZATION: Final = "AWS_LAMBDA_INITIALIZATION_TYPE"
_ON_DEMAND: Final = "on-demand"


def make_stub(
    url: str, app: str, stage: str, key: Callable[[str], bytes], *, streams: bool = False
) -> Stub:
    """Build the stub for one debug stack.

    Args:
        url: the URL of the debug stack's WebSocket API for stubs.
        app: the app's name.
        stage: the stage's name.
        key: returns the key of a function's tokens for the function's ARN.
        streams: whether callers of this function take streamed responses.
    """
    tls = trust_store.of_function(os.environ)
    return Stub(
        url=url,
        key=key,
        session=StubSession(app=app, stage=stage, streams=streams),
        tls=tls,
        lambda_api=LambdaApi(tls),
    )


def function_in_init(arn_prefix: str, environment: Mapping[str, str]) -> str:
    """Return the ARN of this environment's function, for a connection in the init phase.

    The Runtime API tells it with the first invocation only.

    Args:
        arn_prefix: the ARN of a function in the debug stack's account and region, without the name.
        environment: the environment variables.

    Returns:
        "" if the function is in another region, or no invocation follows soon: the init phase of
        provisioned concurrency and of SnapStart comes long before it.
        https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
    """
    is_on_demand = environment.get(_INITIALIZATION, _ON_DEMAND) == _ON_DEMAND
    region = environment.get("AWS_REGION", "")
    if not is_on_demand or f":lambda:{region}:" not in arn_prefix:
        return ""
    return arn_prefix + environment["AWS_LAMBDA_FUNCTION_NAME"]


def take_over(stub: Stub, function: str = "") -> NoReturn:
    """Serve invocations until Lambda ends this process.

    Args:
        stub: the stub.
        function: the ARN of its function, if it may connect in Lambda's init phase; else "".
    """
    runtime = _runtime_client()
    if function:
        stub.connect_ahead(function)
    while True:
        invocation = runtime.next()
        response = runtime.streamed_response(invocation.request_id)
        try:
            outcome = stub.handle(invocation, response)
        except Exception as error:  # noqa: BLE001  # any failure must end the invocation by a named error
            stub.abandon()
            outcome = error_outcome(
                ErrorName.PROTOCOL, f"The stub failed: {type(error).__name__}: {error}"
            )
        if outcome.streamed is not None or response.is_begun:
            is_accepted = response.finish(outcome)
        else:
            is_accepted = runtime.post(invocation.request_id, outcome)
        if not is_accepted:
            print(  # noqa: T201
                f"RequestId: {invocation.request_id} Lambda did not accept the answer",
                file=sys.stderr,
            )


def fail_init(message: str) -> NoReturn:
    """End this process with an error of Lambda's init phase, which the caller gets."""
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:
        _runtime_client().fail_init(error_outcome(ErrorName.STUB_IMAGE, message))
    sys.exit(message)


def _runtime_client() -> RuntimeClient:
    return RuntimeClient(
        os.environ["AWS_LAMBDA_RUNTIME_API"],
        os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        dict(os.environ),
    )

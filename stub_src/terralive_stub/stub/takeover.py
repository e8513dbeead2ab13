"""The stub in the runtime's place: it polls the Runtime API itself and never returns.

Event and response pass through as bytes, and an error keeps the shape of the handler's runtime.
Lambda's init phase ends when the stub asks for the first invocation. `live.py` is the entry point
in a zip, `container.py` in an image.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from terralive_stub.protocol.named_errors import ErrorName, error_outcome
from terralive_stub.protocol.sigv4 import Credentials
from terralive_stub.shared import trust_store
from terralive_stub.stub.runtime_client import RuntimeClient
from terralive_stub.stub.session import StubSession
from terralive_stub.stub.stub import Stub


def make_stub(url: str, region: str, app: str, stage: str) -> Stub:
    """Build the stub for one debug stack.

    Args:
        url: the URL of the debug stack's WebSocket stage for stubs.
        region: the debug stack's region.
        app: the app's name.
        stage: the stage's name.
    """
    return Stub(
        url=url,
        region=region,
        credentials=lambda: Credentials.from_environment(os.environ),
        session=StubSession(app=app, stage=stage),
        tls=trust_store.of_function(os.environ),
    )


def take_over(stub: Stub) -> NoReturn:
    """Serve invocations until Lambda ends this process."""
    runtime = RuntimeClient(
        os.environ["AWS_LAMBDA_RUNTIME_API"],
        os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        dict(os.environ),
    )
    while True:
        invocation = runtime.next()
        try:
            outcome = stub.handle(invocation)
        except Exception as error:  # noqa: BLE001  # any failure must end the invocation by a named error
            stub.close()
            outcome = error_outcome(
                ErrorName.PROTOCOL, f"The stub failed: {type(error).__name__}: {error}"
            )
        if not runtime.post(invocation.request_id, outcome):
            print(  # noqa: T201
                f"RequestId: {invocation.request_id} Lambda did not accept the answer",
                file=sys.stderr,
            )

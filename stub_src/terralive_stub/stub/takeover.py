"""The stub in the runtime's place: it polls the Runtime API itself and never returns.

Event and response pass through as bytes, and an error keeps the shape of the handler's own runtime.
Asking for the next invocation is what ends Lambda's init phase. `live.py` comes here from a zip,
`container.py` from an image.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from terralive_stub.protocol.named_errors import ErrorName, error_outcome
from terralive_stub.protocol.sigv4 import Credentials
from terralive_stub.stub.runtime_client import RuntimeClient
from terralive_stub.stub.session import StubSession
from terralive_stub.stub.stub import Stub


def make_stub(url: str, region: str, app: str, stage: str) -> Stub:
    """Make the stub of a debug stack: its door for stubs and that door's region, and whose it is."""
    return Stub(
        url=url,
        region=region,
        credentials=lambda: Credentials.from_environment(os.environ),
        session=StubSession(app=app, stage=stage),
    )


def take_over(stub: Stub) -> NoReturn:
    """Serve invocations for as long as Lambda lets this process live."""
    runtime = RuntimeClient(
        os.environ["AWS_LAMBDA_RUNTIME_API"],
        os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        dict(os.environ),
    )
    while True:
        invocation = runtime.next()
        try:
            outcome = stub.handle(invocation)
        except Exception as error:  # noqa: BLE001  # whatever it is, the invocation must end, by name
            stub.close()
            outcome = error_outcome(
                ErrorName.PROTOCOL, f"The stub failed: {type(error).__name__}: {error}"
            )
        if not runtime.post(invocation.request_id, outcome):
            print(  # noqa: T201
                f"RequestId: {invocation.request_id} Lambda did not accept the answer",
                file=sys.stderr,
            )

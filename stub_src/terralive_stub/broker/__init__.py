"""The broker: the Lambda function behind the debug stack's WebSocket APIs.

A deployed broker's `handler` setting names this package (`terralive_stub.broker.handler`).
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:  # noqa: ANN401  # a module attribute has any type
    """Return the Lambda handler.

    It is imported on demand: other parts import `leases` and `exchange`, and boto3 takes long.
    """
    if name == "handler":
        from terralive_stub.broker.lambda_function import handler  # noqa: PLC0415

        return handler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Functions as events show them."""

from __future__ import annotations

from terralive_cli.output.events import LiveFunction
from terralive_workers.function import LocalCode, LocalFunction


def live_function(code: LocalCode, *, timeout_s: int = 0) -> LiveFunction:
    """Return the event's entry of a function, deployed or not yet.

    Args:
        code: its local code, a `LocalFunction` where its deployed name is known.
        timeout_s: the timeout in seconds that debugging raises its own to; 0 for none.
    """
    name, debug_port = "", 0
    if isinstance(code, LocalFunction):
        name = code.name
        if code.debugger is not None:
            debug_port = code.debugger.port
    return LiveFunction(
        name=name,
        address=code.address,
        runtime=code.runtime,
        handler=code.handler,
        path=str(code.path),
        debug_port=debug_port,
        timeout_s=timeout_s,
    )

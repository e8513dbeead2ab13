"""Which command line is a function's worker, by the runtime that its configuration names.

Python and Node.js have bootstraps beside this file, because their official clients need native
builds; a custom runtime is its own program; for everything else the project says what to run. A
command line never comes from anything but the project's own configuration.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_workers.function import Debugger, LocalFunction

PYTHON_BOOTSTRAP: Final = Path(__file__).parent / "bootstraps" / "python_bootstrap.py"
NODE_BOOTSTRAP: Final = PYTHON_BOOTSTRAP.with_name("node_bootstrap.mjs")


@dataclass(frozen=True, slots=True)
class Launch:
    """A worker's command line, and whether its Runtime API client needs a port of its own (no path in the address)."""

    command: tuple[str, ...]
    own_port: bool = False


def launch_of(
    function: LocalFunction, command: Sequence[str] | None = None, debug_port: int = 0
) -> Launch:
    """How to start a worker of `function`; `command` goes before the function's own.

    `debug_port` is where the worker itself lets a debugger in, if the function is debugged.

    Raises:
        ConfigurationError: no worker can run this runtime.
    """
    if command := command or function.command:
        return Launch(tuple(command), own_port=True)
    if function.runtime.startswith("python"):
        return Launch(_python(function, debug_port))
    if function.runtime.startswith("nodejs"):
        return Launch(_node(function, debug_port))
    if function.runtime.startswith("provided"):
        # https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html
        return Launch((str(function.path / "bootstrap"),), own_port=True)
    raise ConfigurationError(
        "runtime-not-supported",
        f"{function.address} has the runtime {function.runtime!r}, which terralive does not run by itself.",
        hint=f"Say what does: [functions.'{function.address}'] command = [\"…\"]; see docs/CONFIGURATION.md.",
    )


def _python(function: LocalFunction, port: int) -> tuple[str, ...]:
    bootstrap = (str(PYTHON_BOOTSTRAP), function.handler)
    if function.debugger is None:
        return (str(function.python), *bootstrap)
    # Frozen modules of the standard library have no lines to stop at; debugpy warns of them.
    return (
        str(function.python),
        "-Xfrozen_modules=off",
        *bootstrap,
        _debug(function.debugger, port),
    )


def _node(function: LocalFunction, port: int) -> tuple[str, ...]:
    bootstrap = (str(NODE_BOOTSTRAP), function.handler)
    if function.debugger is None:
        return (str(function.node), *bootstrap)
    # Where a debugger attaches is said by terralive, and not by the inspector in the function's
    # log.
    return (
        str(function.node),
        "--inspect-publish-uid=http",
        *bootstrap,
        _debug(function.debugger, port),
    )


def _debug(debugger: Debugger, port: int) -> str:
    """What a bootstrap wants to know, as its argument."""
    return json.dumps(
        {
            "port": port,
            "wait": debugger.wait,
            "freeze_time": debugger.freeze_time,
            "debugpy": str(debugger.debugpy or ""),
        }
    )

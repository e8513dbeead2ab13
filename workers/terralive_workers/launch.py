"""The command line of a function's worker, by the runtime that the function's configuration names.

Terralive has bootstraps of its own for Python and Node.js, because the official clients need native
builds. A custom runtime is a program in the function's code. For every other runtime, the project's
configuration names the command. A command line never comes from anything but the project's own
configuration.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_workers.function import LocalFunction

PYTHON_BOOTSTRAP: Final = Path(__file__).parent / "bootstraps" / "python_bootstrap.py"
NODE_BOOTSTRAP: Final = PYTHON_BOOTSTRAP.with_name("node_bootstrap.mjs")
# Frozen modules of the standard library have no lines to stop at, and debugpy warns about them.
_PYTHON_DEBUG_OPTION: Final = "-Xfrozen_modules=off"
# Terralive shows where to attach a debugger. Without this option, the inspector would write it into
# the function's log as well.
_NODE_DEBUG_OPTION: Final = "--inspect-publish-uid=http"


@dataclass(frozen=True, slots=True)
class Launch:
    """A worker's command line.

    Attributes:
        command: the program and its arguments.
        own_port: whether the program needs a port of its own for the Runtime API, because it cannot
            take an address that contains a path.
    """

    command: tuple[str, ...]
    own_port: bool = False


def launch_of(
    function: LocalFunction, command: Sequence[str] | None = None, debug_port: int = 0
) -> Launch:
    """Return the command line that starts a worker of `function`.

    Args:
        function: the function.
        command: a program that speaks the Runtime API. It takes precedence over the function's own.
        debug_port: the port on which the worker itself waits for a debugger, if the function has
            one.

    Raises:
        ConfigurationError: terralive cannot run this runtime without a `command`.
    """
    command = command or function.command
    if command:
        return Launch(tuple(command), own_port=True)
    if function.runtime.startswith("python"):
        return _bootstrap_launch(
            function, function.python, _PYTHON_DEBUG_OPTION, PYTHON_BOOTSTRAP, debug_port
        )
    if function.runtime.startswith("nodejs"):
        return _bootstrap_launch(
            function, function.node, _NODE_DEBUG_OPTION, NODE_BOOTSTRAP, debug_port
        )
    if function.runtime.startswith("provided"):
        # https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html
        return Launch((str(function.path / "bootstrap"),), own_port=True)
    raise ConfigurationError(
        "runtime-not-supported",
        f"{function.address} has the runtime {function.runtime!r}, "
        "which terralive cannot run by itself.",
        hint="Name a command that runs it: "
        f"[functions.'{function.address}'] command = [\"…\"]; see docs/CONFIGURATION.md.",
    )


def _bootstrap_launch(
    function: LocalFunction, program: Path, debug_option: str, bootstrap: Path, debug_port: int
) -> Launch:
    """Return the command line of one of terralive's bootstraps.

    For a debugged function, a JSON object as the last argument says how.
    """
    command = (str(program), str(bootstrap), function.handler)
    debugger = function.debugger
    if debugger is None:
        return Launch(command)
    settings = {
        "port": debug_port,
        "wait": debugger.wait,
        "freeze_time": debugger.freeze_time,
        "debugpy": str(debugger.debugpy or ""),
    }
    return Launch((command[0], debug_option, *command[1:], json.dumps(settings)))

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
from terralive_workers.node import DETECT_MODULE, switched_off, version_of
from terralive_workers.typescript import TypeScript, typescript_of

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
    function: LocalFunction,
    command: Sequence[str] | None = None,
    debug_port: int = 0,
    *,
    live: bool = True,
    node_options: str = "",
) -> Launch:
    """Return the command line that starts a worker of `function`.

    Args:
        function: the function.
        command: a program that speaks the Runtime API. It takes precedence over the function's own.
        debug_port: the port on which the worker itself waits for a debugger, if the function has
            one.
        live: true for a developer's code, which may be TypeScript; false for deployed code in the
            sandbox.
        node_options: NODE_OPTIONS of the function.

    Raises:
        ConfigurationError: terralive cannot run this runtime without a `command`.
    """
    command = command or function.command
    if command:
        return Launch(tuple(command), own_port=True)
    debug = _debug_settings(function, debug_port)
    if function.runtime.startswith("python"):
        python = [str(function.python), str(PYTHON_BOOTSTRAP), function.handler]
        if debug is not None:
            python.insert(1, _PYTHON_DEBUG_OPTION)
            python.append(json.dumps(debug))
        return Launch(tuple(python))
    if function.runtime.startswith("nodejs"):
        typescript = None
        if live:
            typescript = typescript_of(function)
        return _node_launch(function, debug, typescript, node_options)
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


def _node_launch(
    function: LocalFunction,
    debug: dict[str, object] | None,
    typescript: TypeScript | None,
    node_options: str,
) -> Launch:
    """Return the command line of the Node.js bootstrap, with its settings as the last argument."""
    options = list(switched_off(function.runtime, version_of(function.node), node_options))
    settings: dict[str, object] = {}
    if debug is not None:
        options.append(_NODE_DEBUG_OPTION)
        settings["debug"] = debug
    if typescript is not None and typescript.can_run:
        settings["typescript"] = {
            "file": str(typescript.file),
            "esbuild": str(typescript.esbuild or ""),
        }
        # Lambda gets JavaScript, in which a build has decided what is an ES module.
        options = [option for option in options if option != f"--no-{DETECT_MODULE}"]
    command = [str(function.node), *options, str(NODE_BOOTSTRAP), function.handler]
    if settings:
        command.append(json.dumps(settings))
    return Launch(tuple(command))


def _debug_settings(function: LocalFunction, port: int) -> dict[str, object] | None:
    """Return how a bootstrap accepts debuggers; None where the function is not debugged."""
    debugger = function.debugger
    if debugger is None:
        return None
    return {
        "port": port,
        "wait": debugger.wait,
        "freeze_time": debugger.freeze_time,
        "debugpy": str(debugger.debugpy or ""),
    }

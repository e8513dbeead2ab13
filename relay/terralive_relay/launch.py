"""Which command line is a function's worker, by the runtime that its configuration names.

A new runtime is a new entry here and, where the runtime has no client that works everywhere, a bootstrap beside this
file. A command line never comes from anything but the project's own configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_relay.functions import LocalFunction
from terralive_stub.errors import ConfigurationError

PYTHON_BOOTSTRAP: Final = Path(__file__).parent / "bootstrap" / "python_bootstrap.py"


@dataclass(frozen=True, slots=True)
class Launch:
    """A worker's command line, and whether its Runtime API client needs a port of its own (no path in the address)."""

    command: tuple[str, ...]
    own_port: bool = False


def launch_of(function: LocalFunction, command: Sequence[str] | None = None) -> Launch:
    """How to start a worker of `function`; `command` is an official client or an executable to use instead.

    Raises:
        ConfigurationError: no worker can run this runtime yet.
    """
    if command is not None:
        return Launch(tuple(command), own_port=True)
    if function.runtime.startswith("python"):
        return Launch((str(function.python), str(PYTHON_BOOTSTRAP), function.handler))
    raise ConfigurationError(
        "runtime-not-supported",
        f"{function.address} has the runtime {function.runtime!r}; only Python functions run locally so far.",
        hint=f"Leave {function.name} out of [functions] in terralive.toml: it stays deployed as it is.",
    )

"""Debugged functions of `start --debug`: their ports and debuggers, checked before a deployment.

A function has the same port at every start, whichever functions are debugged: the first Python
function of the app has 5678, the next one 5679, and so on; those of Node.js begin at 9229.
`init --vscode` writes the same numbers.
"""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final, Self

from terralive_cli.configuration.rules import closest
from terralive_cli.functions.interpreters import runtime_family
from terralive_relay.pool.debug_port import listen
from terralive_stub.errors import ConfigurationError
from terralive_terraform.addresses import (
    in_stack,
    spoken_name,
    stack_of,
    without_keys,
    without_stack,
)
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_workers.function import Debugger, LocalCode, LocalFunction

_FIRST_PORTS: Final[Mapping[str, int]] = {"python": 5678, "nodejs": 9229}
_LAST_PORT: Final = 65535
_LOOK_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Typed:
    """One `--debug` option: a function's name as it was typed, and its port.

    Port 0 stands for the function's own port.
    """

    function: str
    port: int


@dataclass(frozen=True, slots=True)
class Debugging:
    """Options of `start --debug`.

    Attributes:
        wanted: the functions to debug.
        wait, freeze_time: see `Debugger`.
    """

    wanted: tuple[_Typed, ...] = ()
    wait: bool = False
    freeze_time: bool = False

    @classmethod
    def of(cls, typed: Sequence[str], *, wait: bool = False, freeze_time: bool = False) -> Self:
        """Read `FUNCTION[:PORT]`.

        Raises:
            ConfigurationError: `debug-options`.
        """
        if (wait or freeze_time) and not typed:
            option = "--debug-wait" if wait else "--debug-freeze-time"
            raise ConfigurationError(
                "debug-options",
                f"{option} says how, and no function is debugged.",
                hint="Name one: `--debug FUNCTION`.",
            )
        return cls(tuple(_read(item) for item in typed), wait, freeze_time)

    def in_stack(self, stack: str) -> Debugging:
        """Return the options as they are for one stack, whose name may stand before a function."""
        own = tuple(
            replace(typed, function=typed.function.removeprefix(f"{stack}/"))
            for typed in self.wanted
        )
        return replace(self, wanted=own)

    @property
    def names(self) -> tuple[str, ...]:
        """The typed names, without instance keys."""
        return tuple(without_keys(item.function) for item in self.wanted)

    def require_private(self, other_users: Sequence[str]) -> None:
        """Check that nobody else on this machine could attach to a worker.

        A debugger runs any code as the user. Its port is open to everybody on this machine:
        https://nodejs.org/en/learn/getting-started/debugging#security-implications.

        Args:
            other_users: the names of other people who run programs on this machine.

        Raises:
            ConfigurationError: `debug-port-not-private`.
        """
        if self.wanted and other_users:
            raise ConfigurationError(
                "debug-port-not-private",
                f"Other users run programs on this machine: {', '.join(other_users)}. Whoever "
                "attaches to a debugger's port runs code with your rights, and every user of the "
                "machine can attach.",
                hint="Use --debug on a machine of your own, or in a container. `start` without "
                "--debug is safe here.",
            )

    def check(self, functions: Sequence[DeclaredFunction], code: Sequence[LocalCode]) -> None:
        """Check before a deployment that every named function can be debugged.

        Args:
            functions: the functions that become live.
            code: their local code.

        Raises:
            ConfigurationError: no such function, no debugger for it, or its port is in use.
        """
        ports = ports_of(functions, code)
        by_port: dict[int, str] = {}
        for typed in self.wanted:
            function = _named(typed.function, functions)
            # Every instance may have code of its own, and each needs a debugger.
            for local in code:
                if without_keys(local.address) == function.address:
                    _debugger_package(local)
            port = typed.port or ports[function.address]
            if port in by_port:
                raise ConfigurationError(
                    "debug-port-in-use",
                    f"{function.address} cannot be debugged on port {port}: {by_port[port]} is.",
                    hint="Choose another one: `--debug FUNCTION:PORT`.",
                )
            by_port[port] = function.address
            # The port is free if it can be opened; the relay opens it again later.
            listen(function.address, port).close()

    def raised_timeouts(self, functions: Sequence[DeclaredFunction]) -> dict[str, int]:
        """Return address -> the timeout in seconds that debugging raises a function's own to."""
        raised: dict[str, int] = {}
        for function in functions:
            is_debugged = function.is_named(self.names)
            if is_debugged and function.debug_timeout > function.timeout:
                raised[function.address] = function.debug_timeout
        return raised

    def with_debuggers(
        self,
        functions: Sequence[DeclaredFunction],
        code: Iterable[LocalCode],
        deployed: Sequence[LocalFunction],
    ) -> tuple[LocalFunction, ...]:
        """Return the deployed functions, with debuggers for those that are debugged.

        Args:
            functions: the live functions as the configuration declares them.
            code: their local code.
            deployed: the deployed functions and instances.
        """
        ports = ports_of(functions, code)
        declared = {function.address: function for function in functions}
        reserved = {*ports.values(), *(typed.port for typed in self.wanted)}
        taken: set[int] = set()
        found: list[LocalFunction] = []
        for local in deployed:
            function = declared[without_keys(local.address)]
            typed = self._typed_for(function, local)
            if typed is None:
                found.append(local)
                continue
            port = typed.port or ports[function.address]
            if port in taken:
                # Another instance of the same function takes the next port that is nobody's.
                while port in taken or port in reserved:
                    port += 1
            taken.add(port)
            debugger = Debugger(
                port,
                wait=self.wait,
                freeze_time=self.freeze_time,
                debugpy=_debugger_package(local),
            )
            # A debugger follows one process, so there is one worker.
            found.append(replace(local, max_workers=1, debugger=debugger))
        return tuple(found)

    def again(self, function: LocalFunction, port: int) -> LocalFunction:
        """Return a function with the debugger that it had in an earlier session.

        Args:
            function: the function.
            port: the port of that debugger.

        Raises:
            ConfigurationError: there is no debugger for it any more, or its port is in use.
        """
        package = _debugger_package(function)
        listen(function.address, port).close()
        debugger = Debugger(port, wait=self.wait, freeze_time=self.freeze_time, debugpy=package)
        return replace(function, max_workers=1, debugger=debugger)

    def _typed_for(self, function: DeclaredFunction, local: LocalFunction) -> _Typed | None:
        """Return what was typed for a deployed function; None where it is not debugged.

        A name with an instance's key means that instance alone, and so does the deployed name of
        one of several instances.
        """
        of_instances = {instance.name for instance in function.instances or ()}
        for typed in self.wanted:
            name = typed.function
            stack = stack_of(local.address)
            of_one = {local.address, without_stack(local.address), local.name}
            if name in of_one | {in_stack(stack, local.name)}:
                return typed
            is_of_one = name != without_keys(name) or name in of_instances
            if not is_of_one and function.is_named([name]):
                return typed
        return None


NO_DEBUGGING: Final = Debugging()


def ports_of(functions: Sequence[DeclaredFunction], code: Iterable[LocalCode]) -> dict[str, int]:
    """Return each function's own port by its address; a function without a debugger has none.

    Args:
        functions: the functions as the Terraform configuration declares them.
        code: their local code, where they have some. It knows the runtime of a container image.
    """
    runtimes = {function.address: function.runtime or "" for function in functions}
    runtimes.update((without_keys(local.address), local.runtime) for local in code)
    ports: dict[str, int] = {}
    for family, first in _FIRST_PORTS.items():
        port = first
        for function in functions:
            if runtime_family(runtimes[function.address]) == family:
                ports[function.address] = port
                port += 1
    return ports


def _read(typed: str) -> _Typed:
    function, colon, digits = typed.rpartition(":")
    if not colon:
        return _Typed(typed, 0)
    if not function or not digits.isdecimal() or not 0 < int(digits) <= _LAST_PORT:
        raise ConfigurationError(
            "debug-options",
            f"--debug {typed}: {digits!r} is not a port.",
            hint="`--debug FUNCTION` or `--debug FUNCTION:PORT`, with a port from 1 to "
            f"{_LAST_PORT}.",
        )
    return _Typed(function, int(digits))


def _named(typed: str, functions: Sequence[DeclaredFunction]) -> DeclaredFunction:
    """Find the function that was typed.

    Raises:
        ConfigurationError: `debug-function-unknown`.
    """
    found = [function for function in functions if function.is_named([without_keys(typed)])]
    if len({stack_of(function.address) for function in found}) > 1:
        addresses = ", ".join(function.address for function in found)
        raise ConfigurationError(
            "function-unclear",
            f"--debug {typed}: several stacks have a function of this name.",
            hint=f"Name its stack, too: {addresses}.",
        )
    if found:
        return found[0]
    names: list[str] = []
    for function in functions:
        names.extend(function.names)
    shown = ", ".join(
        f"{spoken_name(function.address)} ({function.address})" for function in functions
    )
    raise ConfigurationError(
        "debug-function-unknown",
        f"--debug {typed}: no live function has this name.{closest(typed, names)}",
        hint=f"These can be debugged, by name or address: {shown}.",
    )


def _debugger_package(code: LocalCode) -> Path | None:
    """Find the folder of debugpy for a Python function; None for Node's own inspector.

    Raises:
        ConfigurationError: the function cannot be debugged, or there is no debugpy.
    """
    family = runtime_family(code.runtime)
    if code.command or family not in _FIRST_PORTS:
        runs = f"has the runtime {code.runtime}"
        if code.command:
            runs = "is run by a command of its own"
        raise ConfigurationError(
            "debug-not-supported",
            f"{code.address} {runs}: terralive attaches debuggers to Python and Node.js functions "
            "that it runs itself.",
            hint="Its own command has to accept a debugger.",
        )
    if family != "python":
        return None
    found = _debugpy(code.python)
    if found is None:
        raise ConfigurationError(
            "debugpy-missing",
            f"{code.address} cannot be debugged: neither {code.python} nor terralive itself has "
            "debugpy.",
            hint=f"`{code.python} -m pip install debugpy`, or install terralive with its extra: "
            "`terralive[debug]`.",
        )
    return found


@cache
def _debugpy(python: Path) -> Path | None:
    """Find debugpy's folder: that of the project's Python, or else that of terralive's."""
    ask = "import importlib.util as u; s = u.find_spec('debugpy'); print(s.origin if s else '')"
    try:
        origin = subprocess.run(
            [str(python), "-I", "-c", ask],
            capture_output=True,
            text=True,
            check=False,
            timeout=_LOOK_SECONDS,
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        origin = ""  # the worker reports an interpreter that does not start
    if origin:
        return Path(origin).parent
    own = importlib.util.find_spec("debugpy")
    if own is None or own.origin is None:
        return None
    return Path(own.origin).parent

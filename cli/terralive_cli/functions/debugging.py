"""`start --debug`: which functions are debugged, on which ports, with what. What is wrong is found before a deployment.

A function has the same port at every start, whichever are debugged: the first Python function of
the app 5678, the next one 5679, and so on; Node's begin at 9229. `init --vscode` writes the same
numbers.
"""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final, Self

from terralive_cli.configuration.table import closest
from terralive_cli.functions.mapping import LocalCode
from terralive_relay.pool.debug_port import listen
from terralive_stub.errors import ConfigurationError
from terralive_terraform.addresses import without_keys
from terralive_terraform.substitution.rules import FunctionFacts
from terralive_workers.function import Debugger, LocalFunction

_FIRST_PORTS: Final[Mapping[str, int]] = {"python": 5678, "nodejs": 9229}
_LAST_PORT: Final = 65535
_LOOK_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A function as it was typed, and its port; 0 for its own."""

    function: str
    port: int


@dataclass(frozen=True, slots=True)
class Debugging:
    """What is debugged, and how; see `Debugger`."""

    wanted: tuple[_Wanted, ...] = ()
    wait: bool = False
    freeze_time: bool = False

    @classmethod
    def of(cls, typed: Sequence[str], *, wait: bool = False, freeze_time: bool = False) -> Self:
        """Read `FUNCTION[:PORT]`.

        Raises:
            ConfigurationError: `debug-options`.
        """
        if (wait or freeze_time) and not typed:
            raise ConfigurationError(
                "debug-options",
                f"{'--debug-wait' if wait else '--debug-freeze-time'} says how, and no function is debugged.",
                hint="Name one: `--debug FUNCTION`.",
            )
        return cls(tuple(_wanted(item) for item in typed), wait, freeze_time)

    @property
    def names(self) -> tuple[str, ...]:
        """What functions are called here, without instance keys."""
        return tuple(without_keys(item.function) for item in self.wanted)

    def check(self, functions: Sequence[FunctionFacts], code: Sequence[LocalCode]) -> None:
        """Find out what is wrong before anything is deployed.

        Args:
            functions: those that become live.
            code: their local code.

        Raises:
            ConfigurationError: no such function, no debugger for it, or its port is in use.
        """
        ports = ports_of(functions, code)
        by_port: dict[int, str] = {}
        for item in self.wanted:
            facts = next(
                (facts for facts in functions if facts.is_named([without_keys(item.function)])),
                None,
            )
            if facts is None:
                raise _unknown(item.function, functions)
            for local in code:
                if without_keys(local.address) == facts.address:
                    _debugger_for(local)
            port = item.port or ports[facts.address]
            if port in by_port:
                raise ConfigurationError(
                    "debug-port-in-use",
                    f"{facts.address} cannot be debugged on port {port}: {by_port[port]} is.",
                    hint="Choose another one: `--debug FUNCTION:PORT`.",
                )
            by_port[port] = facts.address
            listen(facts.address, port).close()

    def equipped(
        self,
        functions: Sequence[FunctionFacts],
        code: Iterable[LocalCode],
        mapped: Sequence[LocalFunction],
    ) -> tuple[LocalFunction, ...]:
        """Give the deployed functions, with debuggers for those that are debugged."""
        ports = ports_of(functions, code)
        reserved = {*ports.values(), *(item.port for item in self.wanted)}
        taken: set[int] = set()
        found: list[LocalFunction] = []
        for function in mapped:
            facts = next(
                facts for facts in functions if facts.address == without_keys(function.address)
            )
            item = next(
                (item for item in self.wanted if _is_meant(item.function, facts, function)), None
            )
            if item is None:
                found.append(function)
                continue
            port = item.port or ports[facts.address]
            if port in taken:  # a further instance of the same function
                port = next(
                    port for port in range(port, _LAST_PORT) if port not in taken | reserved
                )
            taken.add(port)
            debugger = Debugger(
                port,
                wait=self.wait,
                freeze_time=self.freeze_time,
                debugpy=_debugger_for(function),
            )
            found.append(replace(function, max_workers=1, debugger=debugger))
        return tuple(found)


NOBODY: Final = Debugging()


def ports_of(functions: Sequence[FunctionFacts], code: Iterable[LocalCode]) -> dict[str, int]:
    """Give each function's own port by its address; functions that cannot be debugged have none.

    Args:
        functions: as Terraform's configuration has them.
        code: their local side, where they have one: it knows the runtime of a container image.
    """
    runtimes = {without_keys(local.address): local.runtime for local in code}
    ports: dict[str, int] = {}
    for language, first in _FIRST_PORTS.items():
        own = (
            facts
            for facts in functions
            if runtimes.get(facts.address, facts.runtime).startswith(language)
        )
        ports.update({facts.address: first + number for number, facts in enumerate(own)})
    return ports


def _wanted(typed: str) -> _Wanted:
    function, colon, digits = typed.rpartition(":")
    if not colon:
        return _Wanted(typed, 0)
    if not function or not digits.isdecimal() or not 0 < int(digits) <= _LAST_PORT:
        raise ConfigurationError(
            "debug-options",
            f"--debug {typed}: {digits!r} is no port.",
            hint=f"`--debug FUNCTION` or `--debug FUNCTION:PORT`, with a port from 1 to {_LAST_PORT}.",
        )
    return _Wanted(function, int(digits))


def _is_meant(typed: str, facts: FunctionFacts, function: LocalFunction) -> bool:
    """Tell whether this deployed function is.

    One that was typed with an instance's key is only that instance.
    """
    if typed != without_keys(typed):
        return typed == function.address
    return facts.is_named([typed])


def _unknown(typed: str, functions: Sequence[FunctionFacts]) -> ConfigurationError:
    known = [facts.address for facts in functions]
    near = closest(typed, [name for facts in functions for name in facts.names])
    return ConfigurationError(
        "debug-function-unknown",
        f"--debug {typed}: no live function is called so.{near}",
        hint=f"These can be debugged, by address or name: {', '.join(known)}.",
    )


def _debugger_for(code: LocalCode | LocalFunction) -> Path | None:
    """Find what a function is debugged with: debugpy's folder, or None for Node's own inspector.

    Raises:
        ConfigurationError: there is nothing.
    """
    if code.command or not code.runtime.startswith(tuple(_FIRST_PORTS)):
        what = (
            "is run by a command of its own" if code.command else f"has the runtime {code.runtime}"
        )
        raise ConfigurationError(
            "debug-not-supported",
            f"{code.address} {what}: terralive lets debuggers into Python and Node.js functions that it runs itself.",
            hint="Have its own command let a debugger in.",
        )
    if not code.runtime.startswith("python"):
        return None
    found = _debugpy(code.python)
    if found is None:
        raise ConfigurationError(
            "debugpy-missing",
            f"{code.address} cannot be debugged: neither {code.python} nor terralive itself has debugpy.",
            hint=f"`{code.python} -m pip install debugpy`, or install terralive with its extra: `terralive[debug]`.",
        )
    return found


@cache
def _debugpy(python: Path) -> Path | None:
    """Find debugpy's folder: the project's own, else terralive's."""
    ask = "import importlib.util as u; s = u.find_spec('debugpy'); print(s.origin if s else '')"
    try:
        told = subprocess.run(
            [str(python), "-I", "-c", ask],
            capture_output=True,
            text=True,
            check=False,
            timeout=_LOOK_SECONDS,
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        told = ""  # an interpreter that does not start is told of by the worker
    own = importlib.util.find_spec("debugpy")
    origin = told or (own.origin if own is not None else None)
    return Path(origin).parent if origin else None

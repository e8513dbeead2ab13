"""Which local code stands behind which deployed function. Pure but for looking at files.

The configuration's `[functions."…"]` goes first, then what the Terraform configuration tells (an asset's folder, the
`Function` construct). What is wrong with a mapping is found before anything is deployed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from terralive_cli.config import Config, FunctionConfig
from terralive_relay.functions import LocalFunction
from terralive_stub.errors import ConfigurationError
from terralive_terraform.addresses import without_keys
from terralive_terraform.substitution import FunctionFacts

_MAX_PATHS: Final = 3
_NONE_RESERVED: Final[Mapping[str, int | None]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LocalCode:
    """The local side of one function of the configuration; with `count` or `for_each`, of one or more instances."""

    address: str
    path: Path
    handler: str
    runtime: str
    python: Path
    watch: tuple[str, ...]
    max_workers: int

    def instance(self, address: str, name: str, reserved: int | None = None) -> LocalFunction:
        """Give one instance; `reserved`: its reserved concurrency in Lambda, over which nothing runs here either."""
        return LocalFunction(
            name=name,
            address=address,
            runtime=self.runtime,
            handler=self.handler,
            path=self.path,
            python=self.python,
            watch=self.watch,
            max_workers=self.max_workers if reserved is None else max(1, min(self.max_workers, reserved)),
        )


@dataclass(frozen=True, slots=True)
class Mapped:
    """`code`: by address, or by what the file says of instances. `unmapped`: address -> why there is no local code."""

    code: Mapping[str, LocalCode]
    unmapped: Mapping[str, str]


def map_functions(config: Config, functions: Sequence[FunctionFacts]) -> Mapped:
    """Find the local code of functions.

    Raises:
        ConfigurationError: `handler-missing`, `function-path-missing`: the configuration names what is not there.
    """
    code: dict[str, LocalCode] = {}
    unmapped: dict[str, str] = {}
    for facts in functions:
        found = {facts.address: _local_code(config, facts, facts.address, facts.function_name)}
        special = config.of_instances(facts.address) if facts.instanced else ()
        found.update({item.pattern: _local_code(config, facts, item.pattern, "") for item in special})
        if special and isinstance(found[facts.address], str):
            del found[facts.address]  # every instance then needs its own; `instances` sees to it
        wrong = [reason for reason in found.values() if isinstance(reason, str)]
        if wrong:
            unmapped[facts.address] = wrong[0]
        else:
            code.update({name: item for name, item in found.items() if isinstance(item, LocalCode)})
    return Mapped(code, unmapped)


def instances(
    config: Config,
    functions: Sequence[FunctionFacts],
    names: Mapping[str, str],
    reserved: Mapping[str, int | None] = _NONE_RESERVED,
) -> tuple[LocalFunction, ...]:
    """Give the local code of each instance of functions (`count`, `for_each`, modules with either).

    Args:
        config: the configuration.
        functions: the live ones.
        names: the deployed functions' names by their addresses; "" for one that is not deployed yet.
        reserved: their reserved concurrency, where they have one.

    Raises:
        ConfigurationError: `instance-unmapped`; also what `map_functions` raises.
    """
    declared = {facts.address: facts for facts in functions}
    mapped: list[LocalFunction] = []
    wrong: list[str] = []
    for address, name in names.items():
        facts = declared.get(without_keys(address))
        if facts is None:
            continue
        found = _local_code(config, facts, address, name)
        if isinstance(found, LocalCode):
            mapped.append(found.instance(address, name, reserved.get(address)))
        else:
            wrong.append(f"{address}: {found}")
    if wrong:
        raise ConfigurationError(
            "instance-unmapped",
            "Some instances of the live functions have no local code.\n  " + "\n  ".join(wrong),
            hint="Say it for each of them in terralive.toml; see docs/CONFIGURATION.md, [functions].",
        )
    return tuple(mapped)


def _local_code(config: Config, facts: FunctionFacts, address: str, name: str) -> LocalCode | str:
    """Find the code of a function or of one of its instances, or say why it is not known."""
    own = config.function_for(address, name)
    path = (own.path if own else None) or facts.path
    if path is None:
        return f"its local code is not known; say where it is: [functions.'{address}'] path = \"…\""
    handler = (own.handler if own else None) or facts.handler
    if facts.instanced and not facts.handler and own is config.function_for(facts.address, facts.function_name):
        return (
            "its handler may differ by instance (count, for_each); name each one's: "
            f'[functions.\'{facts.address}["KEY"]\'] handler = "…"'
        )
    if not handler:
        return f"its handler is not known; name it: [functions.'{address}'] handler = \"…\""
    if not facts.runtime.startswith("python"):
        return f"runtime {facts.runtime or 'not known'}: this version runs Python functions"
    if not path.is_dir():
        raise ConfigurationError(
            "function-path-missing",
            f"The code folder of {address} does not exist: {path}",
            hint=f"Correct it in terralive.toml: [functions.'{address}'] path = \"…\".",
        )
    _require_handler(address, path, handler)
    return LocalCode(
        address=address,
        path=path.resolve(),
        handler=handler,
        runtime=facts.runtime,
        python=(own.python if own else None) or _interpreter(config.project, path),
        watch=own.watch if own else (),
        max_workers=own.max_workers if own else FunctionConfig("*").max_workers,
    )


def _require_handler(address: str, path: Path, handler: str) -> None:
    """Check that the handler's module is there: a typing error is better found before a deployment than after it."""
    module, _, _ = handler.rpartition(".")
    relative = Path(module.replace(".", "/"))
    candidates = [path / relative.with_suffix(".py"), path / relative / "__init__.py"]
    if not module or not any(candidate.is_file() for candidate in candidates):
        there = sorted(item.relative_to(path).as_posix() for item in path.glob("**/*.py"))[:_MAX_PATHS]
        raise ConfigurationError(
            "handler-missing",
            f"The handler {handler!r} of {address} names no file below {path}"
            + (f" (there are: {', '.join(there)}, …)." if there else " (there is no Python file at all)."),
            hint=f'Correct the handler, or the code\'s folder: [functions.\'{address}\'] handler = "…", path = "…".',
        )


def doubts(code: LocalCode) -> str:
    """Say what is likely to fail at the first invocation; "" for nothing. Never imports the code."""
    module, _, name = code.handler.rpartition(".")
    relative = Path(module.replace(".", "/"))
    file = code.path / relative.with_suffix(".py")
    if not file.is_file():
        file = code.path / relative / "__init__.py"
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        return f"{file}:{error.lineno}: {error.msg}. Every invocation gets this error until the file is corrected."
    except (OSError, ValueError) as error:
        return f"{file} cannot be read: {error}"
    if name in _top_level_names(tree):
        return ""
    return f"{file} does not seem to define {name!r}, which the handler {code.handler!r} names."


def _top_level_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _interpreter(project: Path, path: Path) -> Path:
    """Find the project's own Python: a venv in the code's folder or above it, up to the project; else this one."""
    folders = [path, *path.parents]
    stop = folders.index(project) + 1 if project in folders else 1
    for folder in [*folders[:stop], project]:
        for name in (".venv", "venv"):
            candidate = folder / name / "bin" / "python"
            if candidate.exists():
                return candidate
    return Path(sys.executable)

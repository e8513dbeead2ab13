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
from typing import Final

from terralive_cli.config import Config, FunctionConfig
from terralive_relay.functions import LocalFunction
from terralive_stub.errors import ConfigurationError
from terralive_terraform.substitution import FunctionFacts

_MAX_PATHS: Final = 3


@dataclass(frozen=True, slots=True)
class LocalCode:
    """The local side of one function of the configuration (of all its instances, with `count` or `for_each`)."""

    address: str
    path: Path
    handler: str
    runtime: str
    python: Path
    watch: tuple[str, ...]
    max_workers: int

    def instance(self, address: str, name: str) -> LocalFunction:
        return LocalFunction(
            name=name,
            address=address,
            runtime=self.runtime,
            handler=self.handler,
            path=self.path,
            python=self.python,
            watch=self.watch,
            max_workers=self.max_workers,
        )


@dataclass(frozen=True, slots=True)
class Mapped:
    """`unmapped`: address -> why no local code stands behind it."""

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
        found = _local_code(config, facts)
        if isinstance(found, str):
            unmapped[facts.address] = found
        else:
            code[facts.address] = found
    return Mapped(code, unmapped)


def _local_code(config: Config, facts: FunctionFacts) -> LocalCode | str:
    own = config.function_for(facts.address, facts.function_name)
    path = (own.path if own else None) or facts.path
    if path is None:
        return f'its local code is not known; say where it is: [functions."{facts.address}"] path = "…"'
    handler = (own.handler if own else None) or facts.handler
    if not handler:
        return f'its handler is not known; name it: [functions."{facts.address}"] handler = "…"'
    if not facts.runtime.startswith("python"):
        return f"runtime {facts.runtime or 'not known'}: this version runs Python functions"
    if not path.is_dir():
        raise ConfigurationError(
            "function-path-missing",
            f"The code folder of {facts.address} does not exist: {path}",
            hint=f'Correct it in terralive.toml: [functions."{facts.address}"] path = "…".',
        )
    _require_handler(facts.address, path, handler)
    return LocalCode(
        address=facts.address,
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
            hint=f'Correct the handler, or the code\'s folder: [functions."{address}"] handler = "…", path = "…".',
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

"""Checks of local code before anything is deployed: its folder, its handler and its programs.

A typing error is better found here than by the first invocation. It looks at files and asks
programs for their version; it never imports the code. Warnings stop nothing: another interpreter
than expected, or a handler that will likely fail.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from terralive_cli.configuration.tables import FunctionSettings
from terralive_cli.functions import interpreters
from terralive_cli.python.versions import deployed_python
from terralive_stub.errors import ConfigurationError
from terralive_workers.function import LocalCode
from terralive_workers.layers.paths import folders_below
from terralive_workers.typescript import javascript_files, typescript_of

_MAX_PATHS: Final = 3  # files that an error lists


def require_folder(code: LocalCode) -> None:
    """Check that the code's folder exists, unless a build makes it.

    Raises:
        ConfigurationError: `function-path-missing`.
    """
    if code.build is None and not code.path.is_dir():
        raise ConfigurationError(
            "function-path-missing",
            f"The code folder of {code.address} does not exist: {code.path}",
            hint=f"Correct path in the table [functions.'{code.address}'] of terralive.toml.",
        )


def with_programs(code: LocalCode, settings: FunctionSettings, project: Path) -> LocalCode:
    """Return the code with the absolute paths of the programs that run it.

    A command's relative program is looked for below the code's folder, then below the project's.
    Where there is no Python of the project's own, one of the deployed version is looked for.

    Raises:
        ConfigurationError: `program-missing`.
    """
    # Where the settings name no interpreter, the code has the one that was found by itself.
    python, node, command = code.python, code.node, code.command
    if settings.python:
        python = _program(code.address, "python", str(settings.python))
    elif not command and interpreters.is_stand_in(python, project):
        python = deployed_python(code, _existing_file(_python_files(code))) or python
    if settings.node:
        node = _program(code.address, "node", str(settings.node))
    if command:
        program = _program(code.address, "command", command[0], (code.path, project))
        command = (str(program), *command[1:])
    return replace(code, python=python, node=node, command=command)


def require_handler(code: LocalCode) -> None:
    """Check that what a worker starts exists, unless a build or a command of its own provides it.

    Raises:
        ConfigurationError: `handler-missing`, `bootstrap-missing`.
    """
    if code.command or code.build is not None:
        return
    match interpreters.runtime_family(code.runtime):
        case "python":
            _require_file(code, "Python", _python_files(code), "**/*.py")
        case "nodejs":
            _require_javascript(code)
        case "provided":
            _require_bootstrap(code)


def node_missing(code: LocalCode) -> str | None:
    """Return the reason why no Node.js runs a function that needs one; None where one does."""
    if interpreters.handler_interpreter(code) != code.node:
        return None
    if code.node == interpreters.NO_NODE:
        return (
            "there is no Node.js on PATH to run it; install one, or name it: "
            f"[functions.'{code.address}'] node = \"…\""
        )
    version = interpreters.version_of(code.node)
    oldest = interpreters.OLDEST_NODE
    if version and int(version.partition(".")[0]) < oldest:
        return f"{code.node} is Node.js {version}; terralive needs {oldest} or newer to run it"
    return None


def _existing_file(files: Sequence[Path]) -> Path | None:
    return next((file for file in files if file.is_file()), None)


def _python_files(code: LocalCode) -> list[Path]:
    """Return the files that a Python handler's module may be in.

    They are in the code's folder, in an import root, or in a layer. A handler without a module (a
    custom runtime's `bootstrap`) has none.
    """
    relative = Path(code.handler.rpartition(".")[0].replace(".", "/"))
    if not relative.name:
        return []
    folders = [code.path, *code.roots]
    for part in code.layers:
        if not part.target:
            below = folders_below(code.runtime).get("PYTHONPATH", ())
            folders += [part.local / name for name in below]
    files: list[Path] = []
    for folder in folders:
        files += [folder / relative.with_suffix(".py"), folder / relative / "__init__.py"]
    return files


def _require_javascript(code: LocalCode) -> None:
    if typescript_of(code) is None:
        _require_file(code, "JavaScript", javascript_files(code), "**/*.*js")


def _require_file(code: LocalCode, language: str, candidates: Sequence[Path], glob: str) -> None:
    if "." in code.handler and any(candidate.exists() for candidate in candidates):
        return
    present: list[str] = []
    for item in code.path.glob(glob):
        relative = item.relative_to(code.path)
        if item.is_file() and "node_modules" not in relative.parts:
            present.append(relative.as_posix())
    listed = f" (there is no {language} file at all)."
    if present:
        listed = f" (there are: {', '.join(sorted(present)[:_MAX_PATHS])}, …)."
    raise ConfigurationError(
        "handler-missing",
        f"The handler {code.handler!r} of {code.address} names no file below {code.path}{listed}",
        hint="Correct the function's handler, or set handler or path in the table "
        f"[functions.'{code.address}'] of terralive.toml.",
    )


def _require_bootstrap(code: LocalCode) -> None:
    """Check that a custom runtime's program exists and may be executed.

    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html
    """
    program = code.path / "bootstrap"
    if program.is_file() and os.access(program, os.X_OK):
        return
    fault = "there."
    hint = (
        "Build it for this machine, or name another program: "
        f"[functions.'{code.address}'] path or command."
    )
    if program.exists():
        fault = "an executable file."
        hint = f"chmod +x {program}"
    raise ConfigurationError(
        "bootstrap-missing",
        f"{code.address} has a custom runtime ({code.runtime}), and {program} is not {fault}",
        hint=hint,
    )


def _program(address: str, setting: str, program: str, folders: Sequence[Path] = ()) -> Path:
    """Find a program that a setting names.

    Raises:
        ConfigurationError: `program-missing`.
    """
    found = interpreters.find(program, folders)
    if found is None:
        where = "there"
        if "/" not in program:
            where = "on PATH"
        elif folders:
            where = f"below {folders[0]} or {folders[1]}"
        raise ConfigurationError(
            "program-missing",
            f"{program}, the `{setting}` of {address}, is not {where}.",
            hint=f"Correct it in terralive.toml: [functions.'{address}'] {setting}.",
        )
    if not os.access(found, os.X_OK):
        raise ConfigurationError(
            "program-missing",
            f"{found}, the `{setting}` of {address}, is not executable.",
            hint=f"chmod +x {found}",
        )
    return found


def interpreter_warning(code: LocalCode) -> str | None:
    """Warn that another interpreter runs a function than a user expects; None for no warning."""
    program = interpreters.handler_interpreter(code)
    if program is None:
        return None
    warnings: list[str] = []
    if interpreters.is_bundled(program):
        warnings.append(
            "There is no Node.js on PATH. The function runs with the one that terralive's extra "
            f"`node` installs, {program}."
        )
    version = interpreters.version_of(program)
    mismatch = interpreters.mismatch(code.runtime, program, version)
    if mismatch is not None:
        warnings.append(mismatch)
    return " ".join(warnings) or None


def handler_warning(code: LocalCode) -> str | None:
    """Warn of a Python handler whose first invocation will likely fail; None for no warning."""
    if code.build or code.command or interpreters.runtime_family(code.runtime) != "python":
        return None
    files = _python_files(code)
    present = [file for file in files if file.is_file()]
    file = (present or files)[0]
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        return (
            f"{file}:{error.lineno}: {error.msg}. Every invocation gets this error until the file "
            "is corrected."
        )
    except (OSError, ValueError) as error:
        return f"{file} cannot be read: {error}"
    # The module may set the name in a way that is not visible here, so this is only a warning.
    name = code.handler.rpartition(".")[2]
    if name in _defined_names(tree):
        return None
    return f"{file} does not seem to define {name!r}, which the handler {code.handler!r} names."


def _defined_names(tree: ast.Module) -> set[str]:
    """Return all names that a module defines, imports or assigns anywhere."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names

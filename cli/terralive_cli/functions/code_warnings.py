"""Warnings about local code: another interpreter than expected, or a handler that will likely fail.

They stop nothing. The code is read and never imported.
"""

from __future__ import annotations

import ast

from terralive_cli.functions import interpreters
from terralive_cli.functions.code_checks import python_files
from terralive_workers.function import LocalCode


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
    files = python_files(code)
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

"""What runs a handler that is TypeScript and not built, or why nothing does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from terralive_cli.functions import interpreters
from terralive_stub.shared.json_documents import read_object, text
from terralive_workers.function import LocalCode
from terralive_workers.typescript import obstacle, typescript_of

INSTALL: Final = "With esbuild, terralive runs the TypeScript as it is: `npm i -D esbuild`"


def missing(code: LocalCode) -> str | None:
    """Return the reason why nothing runs a function's TypeScript; None where something does."""
    source = typescript_of(code)
    if source is None:
        return None
    version = interpreters.version_of(code.node)
    if not source.can_run:
        return (
            f"{source.file.name} is TypeScript, nothing has built it, Node.js {version} does "
            f"not run TypeScript, and no node_modules above it has esbuild. {INSTALL}"
        )
    if source.by_node:
        found = obstacle(source, code.node)
        if found:
            return f"Node.js {version} cannot run its TypeScript: {found}. {INSTALL}"
    return None


def notes(code: Mapping[str, LocalCode]) -> dict[str, str]:
    """Return what runs the TypeScript of instances, by address; once for the same."""
    found: dict[str, str] = {}
    for address, own in code.items():
        note = _note(own)
        if note is not None and note not in found.values():
            found[address] = note
    return found


def _note(code: LocalCode) -> str | None:
    """Return what runs a function's TypeScript; None where it has none."""
    source = typescript_of(code)
    if source is None:
        return None
    name = source.file.name
    if source.esbuild is None:
        version = interpreters.version_of(code.node)
        return f"Node.js {version} runs {name} itself: no build is needed."
    version = text(read_object(source.esbuild / "package.json"), "version")
    return f"esbuild {version} makes JavaScript of {name} in memory: no build is needed."

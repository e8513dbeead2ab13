"""Describes the error of a handler, and the place where its code failed to load."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_relay.describe.values import as_text, parse
from terralive_stub.protocol.invocation import Outcome
from terralive_stub.shared.json_documents import as_object, items

# `File "/x/app.py", line 3`, also `File "/x/app.py" Line 3`; `at f (file:///x/app.mjs:3:7)`,
# `/x/app.js:3`.
_PLACE: Final = re.compile(r'(?:File "|file://|(?<![\w.:/]))(/[^":()\n]+)(?:",? [Ll]ine |:)(\d+)')


@dataclass(frozen=True, slots=True)
class ErrorText:
    """An error's document: its type, its message, and the lines of its stack trace."""

    type: str = ""
    message: str = ""
    stack: tuple[str, ...] = ()


def describe_error(outcome: Outcome) -> ErrorText:
    """Read an error's document.

    Its shape differs from runtime to runtime: the stack trace is in `stackTrace`, in `trace`, or
    missing.
    """
    if outcome.ok:
        return ErrorText()
    document = parse(outcome.body)
    lines = document.get("stackTrace") or document.get("trace")
    stack: list[str] = []
    if isinstance(lines, list):
        stack = [as_text(line).rstrip("\n") for line in lines]
    return ErrorText(
        type=as_text(document.get("errorType") or outcome.error_type),
        message=as_text(document.get("errorMessage") or ""),
        stack=tuple(stack),
    )


def describe_place(outcome: Outcome, cause: str, root: Path) -> str:
    """Return the place in a function's code where its module failed to load (`app.py:3`).

    Args:
        outcome: the error that the runtime reported.
        cause: its X-Ray cause. It has frames where the document must not have them (a failed
            import).
        root: the function's code root. The innermost place below it is preferred to places
            elsewhere.

    Returns:
        The path, relative to `root` if it is below it, and the line; "" if no place is known.
    """
    found = _places_in_stack(describe_error(outcome).stack)
    if not found:
        found = _places_in_cause(cause)
    innermost = ""
    for file, line in found:
        if file.startswith("/") and "node_modules" not in file:
            innermost = innermost or f"{file}:{line}"
            if Path(file).is_relative_to(root) and "site-packages" not in file:
                return f"{Path(file).relative_to(root)}:{line}"
    return innermost


def _places_in_stack(stack: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the files and lines that a stack trace names, the innermost first."""
    found: list[tuple[str, str]] = []
    for frame in stack:
        found += _PLACE.findall(frame)
    # Python names the innermost frame last, Node.js first.
    if stack and stack[0].startswith("  File"):
        found.reverse()
    return found


def _places_in_cause(cause: str) -> list[tuple[str, str]]:
    """Return the files and lines of the frames in an X-Ray cause, the innermost first."""
    exceptions = items(parse(cause.encode("utf-8", "replace")), "exceptions")
    if not exceptions:
        return []
    frames = [as_object(item) for item in items(as_object(exceptions[0]), "stack")]
    frames.reverse()
    return [(as_text(frame.get("path")), as_text(frame.get("line"))) for frame in frames]

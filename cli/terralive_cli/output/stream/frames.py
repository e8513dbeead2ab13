"""Reads the frames of a stack trace, and tells the user's own from those of libraries. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# `  File "/x/app.py", line 3, in handler`, and for a syntax error `  File "/x/app.py" Line 3`.
_PYTHON: Final = re.compile(
    r'\s*File "(?P<path>[^"]+)",? [Ll]ine (?P<line>\d+)(?:, in (?P<name>.+))?'
)
# `    at handler (file:///x/app.mjs:3:7)`, `    at async /x/app.js:3:7`.
# https://v8.dev/docs/stack-trace-api
_NODE: Final = re.compile(
    r"\s+at (?:async )?(?:(?P<name>.*?) \()?(?:file://)?(?P<path>(?:node:|/|<)[^()]*?)"
    r"(?::(?P<line>\d+):\d+)?\)?$"
)
# https://docs.python.org/3/library/traceback.html#traceback.StackSummary.format
_REPEATED: Final = re.compile(r"\s*\[Previous line repeated (\d{1,9}) more times?\]")
_MOST_REPETITIONS: Final = 10_000
_BOOTSTRAPS: Final = "/terralive_workers/bootstraps/"
_INSTALLED: Final = re.compile(r"/(?:site|dist)-packages/(?P<name>[^/]+)")
_NODE_MODULE: Final = re.compile(r".*/node_modules/(?P<name>@[^/]+/[^/]+|[^/]+)")
_LIBRARIES: Final = re.compile(
    r".*/(?:site-packages|dist-packages|node_modules|lib(?:64)?/python3\.\d+)/"
)
_STANDARD: Final = re.compile(r"/lib(?:64)?/python3\.\d+/|^<frozen ")


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a stack trace.

    Attributes:
        path: its file.
        line: its line, starting at 1; 0 if it is not known.
        function: the function; "" if it is not known.
        code: the line of code; "" if the trace has none.
        library: name of the library that it is in; "" for the user's own code.
    """

    path: str
    line: int
    function: str = ""
    code: str = ""
    library: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """A stack trace.

    Attributes:
        frames: its frames, the innermost first.
        others: its lines that are no frames.
    """

    frames: tuple[Frame, ...] = ()
    others: tuple[str, ...] = ()


def read_trace(stack: Sequence[str]) -> Trace:
    """Read the stack trace of an error, as the runtime of Python or Node.js has written it."""
    frames: list[Frame] = []
    others: list[str] = []
    is_python = False
    for item in stack:
        first, _, rest = item.rstrip().partition("\n")
        python = _PYTHON.match(first)
        node = _NODE.match(first)
        repeated = _REPEATED.match(first)
        if python is not None:
            is_python = True
            frames.append(_frame(python, rest.strip().partition("\n")[0]))
        elif node is not None:
            frames.append(_frame(node, ""))
        elif repeated is not None and frames:
            frames += frames[-1:] * min(int(repeated[1]), _MOST_REPETITIONS)
        elif first.strip():
            others += item.rstrip().splitlines()
    # Python names the innermost frame last, Node.js first.
    if is_python:
        frames.reverse()
    return Trace(tuple(frames), tuple(others))


def path_in_library(path: str) -> str:
    """Return the path of a library's file, without the folder that has all libraries."""
    return _LIBRARIES.sub("", path)


def _frame(found: re.Match[str], code: str) -> Frame:
    path = found["path"]
    return Frame(path, int(found["line"] or 0), found["name"] or "", code, library_of(path))


def library_of(path: str) -> str:
    """Return the name of the library that a file belongs to; "" for the user's own code."""
    if _BOOTSTRAPS in path:
        return "terralive"
    if path.startswith("node:") or path == "<anonymous>":
        return "Node.js"
    for pattern in (_INSTALLED, _NODE_MODULE):
        found = pattern.match(path) or pattern.search(path)
        if found is not None:
            return found["name"].removesuffix(".py")
    if _STANDARD.search(path):
        return "Python"
    return ""

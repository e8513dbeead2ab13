"""Files that a handler's name stands for. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html
https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html
"""

from __future__ import annotations

import re
from typing import Final

_SUFFIXES: Final = {
    "nodejs": (".js", ".mjs", ".cjs"),
    "python": (".py",),
    "ruby": (".rb",),
}
# Source files that a bundler or compiler makes JavaScript of.
_TYPESCRIPT_SUFFIXES: Final = (".ts", ".mts", ".cts", ".tsx")
# A file that exports what another file has.
_EXPORTS_ALL: Final = re.compile(
    rb"import \*|export \*|module\.exports\s*=\s*require|__exportStar|__reExport"
)

_EXPORTS: Final = re.compile(rb"(?<![\w$])exports?(?![\w$])|__webpack_exports__")
# A definition, an assignment (of no log handler), or a line of an import.
_DEFINES: Final = (
    rb"(?:def|class)\s+NAME\b|^NAME\s*(?::[^=\n]+)?=(?!=|\s*logging\.)|import[^\n]*\bNAME\b"
    rb"|^\s+(?:\w+\s+as\s+)?NAME\s*,?\s*$"
)


def suffixes(runtime: str | None) -> tuple[str, ...]:
    """Return the suffixes of the files that a runtime runs; empty for compiled code."""
    return _SUFFIXES.get(_family(runtime), ())


def handler_files(handler: str | None, runtime: str | None) -> tuple[str, ...]:
    """Return the files that a handler may be in, relative to the code's folder, best first.

    Empty where its name tells no file (Java, .NET) or is not known.
    """
    family = _family(runtime)
    if family == "provided":
        return ("bootstrap",)
    if not handler or "." not in handler:
        return ()
    if family == "python":
        module = handler.rpartition(".")[0].replace(".", "/").lstrip("/")
        return (f"{module}.py", f"{module}/__init__.py")
    if family in {"nodejs", "ruby"}:
        folder, slash, rest = handler.rpartition("/")
        stem = folder + slash + rest.partition(".")[0]
        stem = stem.removeprefix("./")
        return tuple(stem + suffix for suffix in suffixes(runtime))
    return ()


def source_files(handler: str | None, runtime: str | None) -> tuple[str, ...]:
    """Return the TypeScript files that a JavaScript handler's file may be made of."""
    if _family(runtime) != "nodejs":
        return ()
    found: list[str] = []
    for file in handler_files(handler, runtime)[:1]:
        stem = file.removesuffix(".js")
        found.extend(stem + suffix for suffix in _TYPESCRIPT_SUFFIXES)
    return tuple(found)


def renamed(handler: str, runtime: str | None, file: str) -> str:
    """Return the handler for the case that its file has another path.

    Args:
        handler: the handler, with its file's path as it is in the archive.
        runtime: the runtime.
        file: the local file, relative to the code's folder.
    """
    stem = file.rpartition(".")[0]
    name = handler.rpartition(".")[2]
    if _family(runtime) == "python":
        stem = stem.removesuffix("/__init__").replace("/", ".")
    else:
        name = handler.rpartition("/")[2].partition(".")[2]
    return f"{stem}.{name}"


def mentions(handler: str, content: bytes, runtime: str | None = None) -> bool:
    """Tell whether a file may define the function of a handler.

    A word in a text is not enough: a web page's script speaks of handlers, too.
    """
    if _EXPORTS_ALL.search(content) is not None:
        return True
    name = re.escape(handler.rpartition(".")[2].encode())
    if re.search(rb"(?<![\w$])" + name + rb"(?![\w$])", content) is None:
        return False
    if is_javascript(runtime):
        return _EXPORTS.search(content) is not None
    if _family(runtime) == "python":
        return re.search(_DEFINES.replace(b"NAME", name), content, re.MULTILINE) is not None
    return True


def _family(runtime: str | None) -> str:
    """Return `python`, `nodejs`, `provided` …: a runtime's name without its version."""
    match = re.match(r"[a-z]+", runtime or "")
    if match is None:
        return ""
    return match[0]


def is_interpreted(runtime: str | None) -> bool:
    """Tell whether a runtime runs the files that a team edits, and no build's output."""
    return _family(runtime) in {"python", "ruby"}


def is_javascript(runtime: str | None) -> bool:
    """Tell whether a runtime is Node.js."""
    return _family(runtime) == "nodejs"


def is_custom(runtime: str | None) -> bool:
    """Tell whether a runtime runs a program of the team's (`provided.al2023`)."""
    return _family(runtime) == "provided"

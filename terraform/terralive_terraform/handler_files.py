"""The files of a stub's zip that stand at a function's own handler.

Terraform may ignore changes of a function's code, and not those of its handler and runtime. Such a
function keeps its handler, and the stub is found there:
https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html#python-handler-naming

A function of Node.js gets the runtime of the stub. A `terraform apply` by hand sets its own again.
So its zip also has a JavaScript file at the handler, which answers from the version with its code:
https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_MODULE: Final = r"[A-Za-z_][\w-]*"
_HANDLER: Final = re.compile(rf"(?P<module>{_MODULE}(?:[./]{_MODULE})*)\.(?P<name>[A-Za-z_]\w*)")
# The stub has these modules, and imports those of Python itself.
_OF_STUB: Final = frozenset({"terralive_stub", "terralive_settings", "websocket"})
_STAGES: Final = "terralive_stage"
_STAGE: Final = re.compile(rb"terralive_stage/([\w-]+)/([\w-]+)\.txt")
_ANSWER: Final = Path(__file__).with_name("answer_from_version.js")
_FIRST_LINE: Final = '"""terralive\'s stub, in the place of the function\'s own code."""\n\n'


def can_stand_at(handler: str) -> bool:
    """Tell whether a stub can stand at a handler of a Python runtime."""
    found = _HANDLER.fullmatch(handler)
    if found is None:
        return False
    top = re.split(r"[./]", found["module"])[0]
    return top not in _OF_STUB and top not in sys.stdlib_module_names


def is_node(runtime: str) -> bool:
    """Tell whether a runtime is one of Node.js."""
    return runtime.startswith("nodejs")


def can_answer_at(handler: str) -> bool:
    """Tell whether JavaScript can answer at a handler of a Node.js runtime, beside the stub."""
    return can_stand_at(handler) and handler.count(".") == 1


def node_files(handlers: Iterable[str], version: str) -> dict[str, bytes]:
    """Return the files that answer from a version on a Node.js runtime, by their paths.

    Args:
        handlers: handlers for which `can_answer_at` is true.
        version: the number of the version.
    """
    files = {_ANSWER.name: _ANSWER.read_bytes()}
    names: dict[str, set[str]] = {}
    for handler in handlers:
        module, _, name = handler.partition(".")
        names.setdefault(module, set()).add(name)
    for module, own in names.items():
        up = "../" * module.count("/") or "./"
        lines = [f'const {{ answerFrom }} = require("{up}{_ANSWER.name}");\n']
        lines += [f'exports.{name} = answerFrom("{version}");\n' for name in sorted(own)]
        files[f"{module}.js"] = "".join(lines).encode()
    return files


def handler_files(handlers: Iterable[str]) -> dict[str, bytes]:
    """Return the files that let a Python runtime find the stub at handlers, by their paths.

    A folder around a module is a package: a layer may have a package of the same name, which
    Python would prefer to a folder without `__init__.py`.

    Args:
        handlers: handlers for which `can_stand_at` is true.
    """
    names: dict[tuple[str, ...], set[str]] = {}
    for handler in handlers:
        found = _HANDLER.fullmatch(handler)
        if found is not None:
            module = tuple(re.split(r"[./]", found["module"]))
            names.setdefault(module, set()).add(found["name"])
    packages = {module[:end] for module in names for end in range(1, len(module))}
    files: dict[str, bytes] = {}
    for package in packages:
        files["/".join((*package, "__init__.py"))] = b""
    for module, own in names.items():
        path = "/".join(module)
        if module in packages:
            path += "/__init__"
        files[f"{path}.py"] = _module(own)
    return files


def stage_files(app: str, stage: str) -> Mapping[str, bytes]:
    """Return the file whose name says for which stage a function is live.

    Its description stays the function's own, and the end of a zip has the names of all files.
    """
    return {f"{_STAGES}/{app}/{stage}.txt": b""}


def stage_in(tail: bytes) -> tuple[str, str] | None:
    """Return the app and the stage of a stub's zip, by its end; None where it does not tell."""
    found = _STAGE.search(tail)
    if found is None:
        return None
    return found[1].decode(), found[2].decode()


def _module(names: Iterable[str]) -> bytes:
    lines = [f"from terralive_stub.live import handler as {name}\n" for name in sorted(names)]
    return (_FIRST_LINE + "".join(lines)).encode()

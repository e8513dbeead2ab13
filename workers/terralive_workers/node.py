"""Releases of Node.js, and what Lambda's runtimes switch off in theirs.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-nodejs.html
"""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

_VERSION_SECONDS: Final = 20
# As Node.js divides NODE_OPTIONS: https://nodejs.org/api/cli.html#node_optionsoptions
_OPTION: Final = re.compile(r'(?:[^\s"]|"(?:\\.|[^"\\])*")+')
_PRELOADS: Final = frozenset({"-r", "--require", "--import", "--loader", "--experimental-loader"})
# What `require` may add to a file's name: https://nodejs.org/api/modules.html#all-together
_ENDINGS: Final = ("", ".js", ".json", ".node")
_REFUSED: Final = re.compile(r"(--[\w-]+)=? is not allowed in NODE_OPTIONS")
REQUIRE_MODULE: Final = "experimental-require-module"
DETECT_MODULE: Final = "experimental-detect-module"
# The features that Lambda switches off, by runtime, unless NODE_OPTIONS of the function has them.
_SWITCHED_OFF: Final = {
    "nodejs20.x": (REQUIRE_MODULE,),
    "nodejs22.x": (REQUIRE_MODULE, DETECT_MODULE),
    # Not in AWS's table, but seen there: https://github.com/nestjs/nest/issues/17707
    "nodejs24.x": (REQUIRE_MODULE,),
}
# The releases that have had a feature's option first, by their major version:
# https://nodejs.org/api/cli.html
_FIRST: Final = {
    REQUIRE_MODULE: {20: 17, 22: 0, 23: 0, 24: 0},
    DETECT_MODULE: {20: 10, 21: 1, 22: 0, 23: 0, 24: 0},
}
# The releases that began to remove types without a flag:
# https://nodejs.org/api/typescript.html#enabling
_STRIPPING: Final = {22: 18, 23: 6}


def switched_off(runtime: str, version: str | None, given: str) -> tuple[str, ...]:
    """Return the options by which a local Node.js lacks what Lambda's runtime lacks.

    Args:
        runtime: the runtime (`nodejs22.x`).
        version: the version of the local Node.js. One whose options are not known gets none.
        given: NODE_OPTIONS of the function, which may switch a feature on again.
    """
    release = _release(version)
    options: list[str] = []
    for feature in _SWITCHED_OFF.get(runtime, ()):
        first = _FIRST[feature].get(release[0])
        if first is None or release[1] < first or f"--{feature}" in given.split():
            continue
        options.append(f"--no-{feature}")
    return tuple(options)


def strips_types(version: str | None) -> bool:
    """Tell whether a version of Node.js (`22.18.0`) removes types without a flag."""
    major, minor = _release(version)
    return major > max(_STRIPPING) or minor >= _STRIPPING.get(major, minor + 1)


@cache
def version_of(program: Path) -> str | None:
    """Ask an interpreter for its version (`3.12.4`); None where it does not answer."""
    try:
        ended = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_VERSION_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\d+(\.\d+)+", ended.stdout)
    if found is None:
        return None
    return found[0]


def known_options(program: Path, options: str) -> tuple[str, tuple[str, ...]]:
    """Divide NODE_OPTIONS into those that an interpreter takes, and those that it does not know.

    An option that it does not know would end it at once:
    https://nodejs.org/api/cli.html#node_optionsoptions
    """
    known = options.split()
    unknown: list[str] = []
    while known:
        refused = _refused_option(program, " ".join(known))
        rest = [option for option in known if option.partition("=")[0] != refused]
        if len(rest) == len(known):
            break
        unknown += [option for option in known if option not in rest]
        known = rest
    return " ".join(known), tuple(unknown)


def without_layer_files(options: str) -> tuple[str, tuple[str, ...]]:
    """Divide NODE_OPTIONS into those that work here, and those that load a file of a layer.

    Layers have their files below `/opt` on Lambda. One that is not there on this machine would end
    the worker at once.
    """
    kept: list[str] = []
    of_layers: list[str] = []
    words: list[str] = _OPTION.findall(options)
    while words:
        option = words.pop(0)
        name, equals, file = option.partition("=")
        if name in _PRELOADS and not equals and words:
            file = words.pop(0)
            option = f"{name} {file}"
        if name in _PRELOADS and _is_missing_layer_file(file.strip('"')):
            of_layers.append(option)
        else:
            kept.append(option)
    return " ".join(kept), tuple(of_layers)


def _is_missing_layer_file(file: str) -> bool:
    path = file.removeprefix("file://")
    if not path.startswith("/opt/"):
        return False
    return not any(Path(path + ending).exists() for ending in _ENDINGS)


@cache
def _refused_option(program: Path, options: str) -> str:
    """Ask an interpreter for the first option that it refuses, without its value; "" for none."""
    try:
        ended = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_VERSION_SECONDS,
            env={**os.environ, "NODE_OPTIONS": options},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    refused = _REFUSED.search(ended.stderr)
    if ended.returncode == 0 or refused is None:
        return ""
    return refused[1]


def _release(version: str | None) -> tuple[int, int]:
    """Return the major and minor version; (0, 0) where it is not known."""
    numbers = re.findall(r"\d+", version or "")
    if len(numbers) < 2:  # noqa: PLR2004  # major and minor
        return 0, 0
    return int(numbers[0]), int(numbers[1])

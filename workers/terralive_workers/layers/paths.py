"""The search paths by which runtimes find the content of layers. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html#packaging-layers-paths
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path


def folders_below(runtime: str) -> dict[str, list[str]]:
    """Return the folders below `/opt` that each search path ends with, the first one first."""
    paths = {"PATH": ["bin"], "LD_LIBRARY_PATH": ["lib"]}
    if runtime.startswith("python"):
        paths["PYTHONPATH"] = [f"python/lib/{runtime}/site-packages", "python"]
    if runtime.startswith("nodejs"):
        version = runtime.removeprefix("nodejs").partition(".")[0]
        paths["NODE_PATH"] = [f"nodejs/node{version}/node_modules", "nodejs/node_modules"]
    return paths


def search_paths(roots: Sequence[Path], runtime: str) -> dict[str, list[str]]:
    """Return the folders of layers that each search path ends with.

    Args:
        roots: folders that take the place of `/opt`, the one that is searched first first.
        runtime: the runtime that the function's configuration names.
    """
    found: dict[str, list[str]] = {}
    for name, folders in folders_below(runtime).items():
        found[name] = [str(root / below) for below in folders for root in roots]
    return found


def extend(variables: dict[str, str], paths: Mapping[str, Sequence[str]]) -> None:
    """Add folders to the ends of search paths."""
    for name, folders in paths.items():
        before = variables.get(name, "").split(os.pathsep)
        variables[name] = os.pathsep.join([*filter(None, before), *folders])

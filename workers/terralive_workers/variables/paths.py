"""Paths in variables: folders that exist in Lambda only, and the folder of the function's code.

The code is in `/var/task` there, layers are in `/opt`, and the runtime is in `/var/runtime`:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path
from typing import Final

TASK_ROOT: Final = "/var/task"
LAYERS: Final = "/opt"
# Folders of Lambda's image, which do not exist here or hold something else.
_IMAGE_FOLDERS: Final = ("/var/runtime", "/var/lang", LAYERS, "/usr/lib", "/lib")
_LAMBDA_FOLDER: Final = re.compile(
    r"(?:^|[\s:;,='\"(]|file://)/(?:opt|var/(?:task|runtime|lang))(?=$|[\s/:;,'\")])"
)


def names_lambda_folder(value: str) -> bool:
    """Return whether a value holds the path of a folder that exists in Lambda only."""
    return _LAMBDA_FOLDER.search(value) is not None


def search_path_in_code(value: str, code: Path) -> tuple[str, bool]:
    """Return a search path with the folders of the function's code only.

    Args:
        value: the search path in Lambda.
        code: the folder of the function's code on this machine.

    Returns:
        the search path, and whether a folder was left out that is not one of Lambda's image.
    """
    kept: list[str] = []
    left_out = False
    for folder in value.split(":"):
        local = path_in_code(folder, code)
        if local is not None:
            kept.append(local)
        elif folder and not _is_in_image(folder):
            left_out = True
    return os.pathsep.join(kept), left_out


def search_path_of_deployed(value: str, code: Path, layers: Path | None) -> str:
    """Return a search path without the folders of Lambda's image, for code that is deployed."""
    kept: list[str] = []
    for folder in value.split(":"):
        local = path_of_deployed(folder, code, layers)
        if local and not _is_in_image(local):
            kept.append(local)
    return os.pathsep.join(kept)


def path_of_deployed(path: str, code: Path, layers: Path | None) -> str:
    """Return a path in Lambda as the path of deployed code, or of its layers, on this machine."""
    if _is_within(path, TASK_ROOT):
        return f"{code}{path[len(TASK_ROOT) :]}"
    if layers is not None and _is_within(path, LAYERS):
        return f"{layers}{path[len(LAYERS) :]}"
    return path


def path_in_code(path: str, code: Path) -> str | None:
    """Return a path in Lambda as a path of the code's folder here; None if it leads elsewhere.

    A relative path is kept as it is: workers run in the folder of the code.
    """
    # A program may read several paths with colons between them, or a URL.
    if not path or ":" in path:
        return None
    inside = path
    if path.startswith("/"):
        if not _is_within(path, TASK_ROOT):
            return None
        inside = path[len(TASK_ROOT) :].lstrip("/")
    elif path.startswith("~"):
        return None
    normal = os.path.normpath(inside or ".")
    if normal == ".." or normal.startswith("../"):
        return None
    if path.startswith("/"):
        return f"{code}{path[len(TASK_ROOT) :]}"
    return path


def _is_in_image(folder: str) -> bool:
    return any(_is_within(folder, image) for image in _IMAGE_FOLDERS)


def _is_within(folder: str, parent: str) -> bool:
    return folder == parent or folder.startswith(f"{parent}/")

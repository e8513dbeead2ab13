"""Finds syntax errors in changed files, where no worker is there to find them."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Final

# More files at once are a checkout of another branch and no edit.
_MOST_FILES: Final = 50


def syntax_errors(root: Path, paths: Iterable[str]) -> list[str]:
    """Return one line (`app.py:3: invalid syntax`) for every Python file that does not parse.

    Args:
        root: the function's code root.
        paths: changed files, relative to it.
    """
    python_files = [path for path in paths if path.endswith(".py")]
    errors: list[str] = []
    for path in python_files[:_MOST_FILES]:
        try:
            ast.parse((root / path).read_bytes(), path)
        except SyntaxError as error:
            errors.append(f"{path}:{error.lineno}: {error.msg}")
        except (OSError, ValueError):
            continue  # it is gone, or no text
    return errors

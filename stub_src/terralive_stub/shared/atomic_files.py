"""Atomic file writes: another process sees the old content or the new content, never a part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(target: Path, data: bytes) -> None:
    """Write a file with mode 0600, and create its folder if there is none.

    The data goes to a temporary file beside the target, which is then renamed: a rename within one
    folder is atomic. `mkstemp` creates files with mode 0600.

    Raises:
        OSError: the file cannot be written; the target keeps its old content.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temporary.replace(target)
    except BaseException:  # also KeyboardInterrupt: no temporary file is left behind
        temporary.unlink(missing_ok=True)
        raise

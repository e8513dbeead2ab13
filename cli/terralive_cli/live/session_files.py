"""Finds the files of a stage's sessions in a project, wherever the stage was: AWS or a sandbox.

It asks nobody, so that it also works without credentials. Shells complete by it, so it imports
nothing heavy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FOLDER: Final = ".terralive"
_KINDS: Final = ("aws", "sandbox")


def work_folders(project: Path, stage: str = "*") -> list[Path]:
    """Return the work folders of a stage, or of all stages.

    Args:
        project: the project's folder.
        stage: name of the stage; `*` for all.
    """
    folders: list[Path] = []
    for kind in _KINDS:
        folders += (project / _FOLDER / kind).glob(f"*/{stage}")
    return sorted(folders)

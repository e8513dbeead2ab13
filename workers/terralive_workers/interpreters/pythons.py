"""Interpreters of a Python version on this machine. It finds files, and runs nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path


def candidates(version: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the interpreters that may be of a version: on PATH, of pyenv, of uv.

    https://github.com/pyenv/pyenv#environment-variables,
    https://docs.astral.sh/uv/reference/environment/#uv_python_install_dir

    Args:
        version: `3.12`.
        environ: the environment variables.
    """
    on_path = shutil.which(f"python{version}", path=environ.get("PATH"))
    if on_path is not None:
        yield Path(on_path)
    home = Path(environ.get("HOME") or Path.home())
    pyenv = Path(environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    uv = Path(environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    for folder, pattern in ((pyenv, f"{version}.*"), (uv, f"cpython-{version}.*")):
        for installed in sorted(folder.glob(pattern), key=_patch, reverse=True):
            program = installed / "bin" / f"python{version}"
            if program.exists():
                yield program


def _patch(installed: Path) -> tuple[int, ...]:
    """Return the version in the name of a folder (`3.12.4`, `cpython-3.12.4-linux-x86_64-gnu`)."""
    match = re.search(r"\d+(?:\.\d+)+", installed.name)
    if match is None:
        return ()
    return tuple(int(part) for part in match[0].split("."))

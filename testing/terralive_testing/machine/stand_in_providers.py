"""A mirror with HashiCorp's small providers (archive, external, local, null, …) and the AWS one.

Where Terraform's registry answers, the real ones serve. Elsewhere stand-ins take their place: the
programs in `shared/providers` beside the repository, on the PyPI package `tf`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

from terralive_testing.machine.provider_mirror import VARIABLE, registry_answers

_PACKAGE: Final = "tf==1.2.0"
_REPOSITORY: Final = Path(__file__).resolve().parents[3]
SHARED: Final = _REPOSITORY.parent / "shared"


def with_stand_ins(environ: dict[str, str], work: Path) -> dict[str, str]:
    """Return an environment in which Terraform finds all these providers.

    It skips the test where there are none.

    Args:
        environ: the environment to start from.
        work: a folder for the mirror.
    """
    if registry_answers():
        return environ
    install = SHARED / "providers" / "install"
    if not install.is_file():
        pytest.skip("no registry, and no stand-ins for HashiCorp's small providers")
    mirror = work / "mirror"
    command = [sys.executable, str(install), str(mirror), "--python", str(_python_with_tf())]
    if VARIABLE in environ:
        command += ["--aws", environ[VARIABLE]]
    subprocess.run(command, check=True, capture_output=True)
    return {**environ, VARIABLE: str(mirror)}


def _python_with_tf() -> Path:
    """Return an interpreter that has the package; it is installed once on a machine."""
    folder = Path(tempfile.gettempdir()) / f"terralive-tf-{os.getuid()}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", _PACKAGE]
        installed = subprocess.run(command, check=False, capture_output=True)
        if installed.returncode != 0:
            pytest.skip(f"no registry, and no package {_PACKAGE} for the stand-ins")
        (folder / "ready").touch()
    return python

"""The Pythons that functions run on: one virtual environment for each version.

A function runs on an interpreter of the version that its runtime names, if there is one on this
machine: on PATH, of pyenv, or of uv. Otherwise it runs on the Python that runs the sandbox.

Lambda's Python runtimes have the AWS SDK and its requirements
(https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html#python-sdk-included). A function
that imports anything else and does not contain it fails here as it does there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from terralive_workers.interpreters.pythons import candidates

_RUNTIME: Final = re.compile(r"python(3\.\d+)")
_END_OF_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")
_OWN_VERSION: Final = f"{sys.version_info[0]}.{sys.version_info[1]}"
# The handlers of terralive's own functions, which run on any Python.
_OWN_HANDLERS: Final = "terralive_"
# Not every version of Python can use the AWS SDK of this one.
_CHECK: Final = "import sys, boto3; print('%d.%d' % sys.version_info[:2])"
_SECONDS: Final = 60


class Pythons:
    """Virtual environments for functions. Any thread may use it.

    Args:
        folder: the folder of the environments.

    Attributes:
        own: the interpreter with the version of the Python that runs the sandbox.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        environment = folder / "own"
        venv.EnvBuilder(symlinks=True).create(environment)
        _add_packages(environment)
        self.own = environment / "bin" / "python"
        # Guards the interpreters: each version is looked for once.
        self._lock = threading.Lock()
        # The interpreters by version.
        self._found: dict[str, Path] = {_OWN_VERSION: self.own}

    def of(self, runtime: str, handler: str) -> Path:
        """Return the interpreter of a function. The first one of a version takes a second.

        Args:
            runtime: the function's runtime.
            handler: its handler.
        """
        match = _RUNTIME.fullmatch(runtime)
        if match is None or handler.startswith(_OWN_HANDLERS):
            return self.own
        version = match[1]
        with self._lock:
            if version not in self._found:
                self._found[version] = self._make(version)
            return self._found[version]

    def _make(self, version: str) -> Path:
        for number, program in enumerate(candidates(version, os.environ)):
            environment = self._folder / f"{version}-{number}"
            if _succeeds([str(program), "-m", "venv", "--without-pip", str(environment)], ""):
                _add_packages(environment)
                python = environment / "bin" / "python"
                if _succeeds([str(python), "-c", _CHECK], version):
                    return python
        sys.stderr.write(
            f"Functions with the runtime python{version} run on Python {_OWN_VERSION}: there is no "
            f"Python {version} here with which the AWS SDK works.\n"
        )
        return self.own


def _succeeds(command: list[str], answer: str) -> bool:
    """Run a program, and return whether it ends well and answers with this text."""
    # Python keeps what it compiles, so that functions do not compile the AWS SDK again.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == answer


def _add_packages(environment: Path) -> None:
    """Link the AWS SDK and its requirements into a virtual environment."""
    (site_packages,) = environment.glob("lib/python*/site-packages")
    for name in _with_requirements("boto3"):
        _link(distribution(name), site_packages)


def _link(found: Distribution, site_packages: Path) -> None:
    """Link the top-level files and folders of a distribution into `site_packages`."""
    top_level = set()
    for file in found.files or ():
        if ".." not in file.parts and file.parts[0] != "__pycache__":
            top_level.add(file.parts[0])
    for name in top_level:
        link = site_packages / name
        if not link.exists():
            link.symlink_to(Path(str(found.locate_file(name))))


def _with_requirements(included: str) -> set[str]:
    """Return a distribution and everything that it requires, without extras."""
    known: set[str] = set()
    left = [included]
    while left:
        name = left.pop()
        if name in known:
            continue
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # This version of Python does not need it.
        known.add(name)
        for requirement in requirements:
            if "extra ==" not in requirement:
                left.append(_END_OF_NAME.split(requirement, maxsplit=1)[0])
    return known

"""The Python that functions run on: this interpreter, with only those packages that Lambda has.

Lambda's Python runtimes have the AWS SDK and its requirements
(https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html#python-sdk-included). A function
that imports anything else and does not contain it fails here as it does there.
"""

from __future__ import annotations

import re
import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

_END_OF_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")


def make_python(folder: Path) -> Path:
    """Make a virtual environment for functions in `folder`. Return its interpreter."""
    venv.EnvBuilder(symlinks=True).create(folder)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    for name in _with_requirements("boto3"):
        _link(distribution(name), site_packages)
    return folder / "bin" / "python"


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

"""The Python that functions run on: this interpreter, with nothing installed but what Lambda's own runtime brings.

Lambda's Python runtimes have the AWS SDK and what that needs
(https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html#python-sdk-included). A function
that imports anything else without bringing it along fails here as it does there.
"""

from __future__ import annotations

import re
import venv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_BROUGHT = ("boto3",)


def make_python(folder: Path) -> Path:
    """Make an environment for functions in `folder`; its interpreter."""
    venv.EnvBuilder(symlinks=True).create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in _with_requirements(_BROUGHT):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or () if ".." not in file.parts}:
            link = packages / top
            if top != "__pycache__" and not link.exists():
                link.symlink_to(Path(str(found.locate_file(top))))
    return folder / "bin" / "python"


def _with_requirements(names: tuple[str, ...]) -> set[str]:
    """Distributions and all that they need, without extras."""
    known: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name in known:
            continue
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # one that this version of Python does not need
        known.add(name)
        needed = (requirement for requirement in requirements if "extra ==" not in requirement)
        left.extend(
            re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0] for requirement in needed
        )
    return known

"""What functions run on: this interpreter, or the one container image that the sandbox knows.

Lambda's Python runtimes have the AWS SDK and its requirements
(https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html#python-sdk-included). A function
that imports anything else and does not contain it fails here as it does there.

The image is terralive's stub, which `terralive init --stub-image` lets a team build. There is no
registry and no container here. An image with the name `terralive-stub` stands for this
installation's stub, which is started as the image's Dockerfile does, followed by the function's
`ImageConfig.Command`.
https://docs.aws.amazon.com/lambda/latest/dg/images-create.html#images-parms
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from moto.awslambda.models import LambdaFunction

_STUB_IMAGE: Final = re.compile(r".*/terralive-stub(?:[:@].+)?")
_STUB_PACKAGES: Final = ("terralive_stub", "websocket")
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


def is_stub_image(function: LambdaFunction) -> bool:
    """Return true if the function's image is the stub's and has no entry point of its own."""
    uri = str(function.code.get("ImageUri", ""))
    return _STUB_IMAGE.fullmatch(uri) is not None and not function.image_config.entry_point


def unpack_stub_image(folder: Path) -> None:
    """Copy the stub image's content into an empty folder.

    Raises:
        FileNotFoundError: a package of the image is not installed here.
    """
    ignore = shutil.ignore_patterns("__pycache__", "tests")
    for name in _STUB_PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise FileNotFoundError(f"the package {name} is not installed")
        source = next(iter(spec.submodule_search_locations))
        shutil.copytree(source, folder / name, ignore=ignore)

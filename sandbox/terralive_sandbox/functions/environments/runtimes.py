"""What functions run on: this interpreter, `node`, or the one image that the sandbox knows.

Lambda's Python runtimes have the AWS SDK and its requirements
(https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html#python-sdk-included). A function
that imports anything else and does not contain it fails here as it does there.

Lambda's Node.js runtimes have the AWS SDK for JavaScript, too
(https://docs.aws.amazon.com/lambda/latest/dg/lambda-nodejs.html#nodejs-sdk-included). The sandbox
has no copy of it. A function uses the one in its zip file or its layers, or the one in a folder
that `NODE_PATH` names where the sandbox is started.

The image is terralive's stub, which `terralive init --stub-image` lets a team build. There is no
registry and no container here. An image with the name `terralive-stub` stands for this
installation's stub, which is started as the image's Dockerfile does, followed by the function's
`ImageConfig.Command`.
https://docs.aws.amazon.com/lambda/latest/dg/images-create.html#images-parms
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from moto.awslambda.models import LambdaFunction

from terralive_sandbox.functions.invoke_api import not_emulated

_STUB_IMAGE: Final = re.compile(r".*/terralive-stub(?:[:@].+)?")
_STUB_PACKAGES: Final = ("terralive_stub", "websocket")
# Node.js names the package in double or single quotes; in JSON, double quotes are escaped.
_SDK_MISSING: Final = re.compile(
    rb"""Cannot find (?:module|package) [\\"']+(?:@aws-sdk/|aws-sdk\b)"""
)
_OLDEST_NODE: Final = 18
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


def find_node() -> Path:
    """Return the Node.js of PATH.

    Raises:
        InvokeError: there is none, or it is too old for terralive's bootstrap.
    """
    program = shutil.which("node")
    if program is None:
        raise not_emulated("Node.js functions without the program `node` on its PATH")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    version = done.stdout.strip()
    major = version.removeprefix("v").partition(".")[0]
    if not major.isdecimal() or int(major) < _OLDEST_NODE:
        raise not_emulated(f"Node.js functions with the Node.js {version} of its PATH")
    return Path(program)


def node_packages() -> list[Path]:
    """Return the folders of packages that NODE_PATH names where the sandbox was started."""
    folders = os.environ.get("NODE_PATH", "").split(os.pathsep)
    return [Path(folder) for folder in folders if folder and Path(folder).is_dir()]


def hint_about(error: bytes) -> str:
    """Return a line for the log about a function that does not find the AWS SDK; else ""."""
    if _SDK_MISSING.search(error) is None:
        return ""
    return (
        "terralive's sandbox has no AWS SDK for JavaScript. Put it into the function's zip file or "
        "a layer, or start the sandbox with NODE_PATH set to a node_modules folder that has it."
    )


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

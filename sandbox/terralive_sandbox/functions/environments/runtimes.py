"""What other functions than Python's run on: `node`, or the one image that the sandbox knows.

Lambda's Node.js runtimes have the AWS SDK for JavaScript
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

"""The one container image that the sandbox runs: terralive's stub.

`terralive init --stub-image` lets a team build it. There is no registry and no container here. An
image with the name `terralive-stub` stands for this installation's stub, which is started as the
image's Dockerfile does, followed by the function's `ImageConfig.Command`.
https://docs.aws.amazon.com/lambda/latest/dg/images-create.html#images-parms
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from typing import Final

from moto.awslambda.models import LambdaFunction

_NAME: Final = re.compile(r".*/terralive-stub(?:[:@].+)?")
_PACKAGES: Final = ("terralive_stub", "websocket")


def is_stub(function: LambdaFunction) -> bool:
    """Return true if the function's image is the stub's and has no entry point of its own."""
    uri = str(function.code.get("ImageUri", ""))
    return _NAME.fullmatch(uri) is not None and not function.image_config.entry_point


def unpack(folder: Path) -> None:
    """Copy the image's content into an empty folder.

    Raises:
        FileNotFoundError: a package of the image is not installed here.
    """
    ignore = shutil.ignore_patterns("__pycache__", "tests")
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise FileNotFoundError(f"the package {name} is not installed")
        source = next(iter(spec.submodule_search_locations))
        shutil.copytree(source, folder / name, ignore=ignore)

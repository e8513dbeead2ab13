"""The one container image that the sandbox runs: terralive's stub, as `terralive init --stub-image` has it built.

There is no registry and no container here. An image that is called `terralive-stub` is taken for
that one: this installation's stub, started as the image's Dockerfile does, with the function's
`ImageConfig.Command` behind it.
https://docs.aws.amazon.com/lambda/latest/dg/images-create.html#images-parms
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from moto.awslambda.models import LambdaFunction

_NAME = re.compile(r".*/terralive-stub(?:[:@].+)?")
_CONTENT = ("terralive_stub", "websocket")


def is_stub(function: LambdaFunction) -> bool:
    """Whether the function's image is the stub's, started in the stub's own way."""
    uri = str(function.code.get("ImageUri", ""))
    return _NAME.fullmatch(uri) is not None and not function.image_config.entry_point


def unpack(folder: Path) -> None:
    """Put the image's content into an empty folder."""
    for name in _CONTENT:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise FileNotFoundError(f"the package {name} is not installed")
        source = next(iter(spec.submodule_search_locations))
        shutil.copytree(
            source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "tests")
        )


def command(python: Path, arguments: Sequence[str]) -> tuple[str, ...]:
    return (str(python), "-m", "terralive_stub.container", *arguments)

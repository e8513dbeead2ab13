"""Layers: their content in one folder, which `terralive_workers.layers.paths` has runtimes find.

In Lambda the folder is `/opt`. Here it is another one, which variables name. Where this machine
allows mounts, code that names `/opt` finds it, too (`workspace`).
https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from moto.awslambda.models import LambdaFunction

from terralive_sandbox.functions import zip_files
from terralive_sandbox.functions.invoke_api import not_emulated

# The name under which the control plane keeps the content of layers with moto's function.
LAYERS: Final = "terralive_layers"


def layers_of(function: LambdaFunction) -> Mapping[str, bytes | None]:
    """Return the zip files of a function's layers by their ARNs, the first layer first.

    A layer that the sandbox does not have is None.
    """
    layers: Mapping[str, bytes | None] = vars(function)[LAYERS]
    return layers


def unpack(function: LambdaFunction, folder: Path) -> None:
    """Unpack the layers of a function into one folder; a later layer replaces files.

    Raises:
        InvokeError: a layer is damaged, or the sandbox does not emulate it.
    """
    folder.mkdir()
    for arn, content in layers_of(function).items():
        if content is None:
            raise not_emulated(f"layers that another account publishes ({arn})")
        zip_files.unpack(content, folder)
    # https://docs.aws.amazon.com/lambda/latest/dg/lambda-extensions.html
    extensions = folder / "extensions"
    if extensions.is_dir():
        names = ", ".join(sorted(file.name for file in extensions.iterdir()))
        raise not_emulated(f"extensions in layers ({names})")

"""The settings of a stub image: the `command` in a function's `image_config`. Pure.

`v2 URL APP STAGE KEY`. The first argument names the version of the others, because images that are
already in a registry meet the arguments of a later terralive. `KEY` is the key of this one
function's tokens, in hex, and not the stage's secret: Terraform's state contains the command.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

VERSION: Final = "v2"
_ARGUMENTS: Final = 5


@dataclass(frozen=True, slots=True)
class ImageArguments:
    """The settings of one function's stub image.

    Attributes:
        url: the URL of the debug stack's WebSocket API for stubs.
        app: the app's name.
        stage: the stage's name.
        key: the key of the function's tokens, in hex.
    """

    url: str
    app: str
    stage: str
    key: str = field(repr=False)

    def command(self) -> tuple[str, ...]:
        """Return the arguments as `image_config.command` has them."""
        return (VERSION, self.url, self.app, self.stage, self.key)


def read_command(arguments: Sequence[str]) -> ImageArguments | str:
    """Return the settings, or the reason why the arguments are not for this image."""
    if not arguments:
        return (
            "This is terralive's stub. `terralive start` puts it in a function's place, with its "
            "arguments."
        )
    version = arguments[0]
    if version == VERSION and len(arguments) == _ARGUMENTS:
        _, url, app, stage, key = arguments
        return ImageArguments(url, app, stage, key)
    if not version.startswith("v"):
        # An older terralive passes the URL first.
        version = "v1"
    return (
        f"This image of terralive's stub takes settings of version {VERSION}, and the function has "
        f"settings of version {version}. Build the image again with the terralive that makes the "
        "function live (`terralive init --stub-image FOLDER`), push it, and run `terralive start` "
        "again."
    )

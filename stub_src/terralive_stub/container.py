"""The entry point of a stub image: `python3 -m terralive_stub.container v2 URL APP STAGE KEY`.

One image serves every stage: a function's `image_config.command` carries the settings that a zip
contains as a file. `KEY` is the key of this one function's tokens, in hex, and not the stage's
secret, because Terraform's state contains it. The first argument names the version of the
arguments, because images that are already in a registry meet the arguments of a later terralive.
https://docs.aws.amazon.com/lambda/latest/dg/images-create.html#images-parms
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from terralive_stub.stub.takeover import fail_init, make_stub, take_over

VERSION: Final = "v2"
_ARGUMENTS: Final = 5


def main(arguments: Sequence[str]) -> NoReturn:
    problem = _problem_with(arguments)
    if problem:
        fail_init(problem)
    _, url, app, stage, key = arguments
    function_key = bytes.fromhex(key)
    take_over(make_stub(url, app, stage, lambda _: function_key))


def _problem_with(arguments: Sequence[str]) -> str:
    """Return the reason why the arguments are not for this image; "" where they are."""
    if not arguments:
        return (
            "This is terralive's stub. `terralive start` puts it in a function's place, with its "
            "arguments."
        )
    version = arguments[0]
    if version == VERSION and len(arguments) == _ARGUMENTS:
        return ""
    if not version.startswith("v"):
        # An older terralive passes the URL first.
        version = "v1"
    return (
        f"This image of terralive's stub takes settings of version {VERSION}, and the function has "
        f"settings of version {version}. Build the image again with the terralive that makes the "
        "function live (`terralive init --stub-image FOLDER`), push it, and run `terralive start` "
        "again."
    )


if __name__ == "__main__":
    main(sys.argv[1:])

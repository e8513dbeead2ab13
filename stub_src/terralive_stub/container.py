"""The entry point of a stub image: `python3 -m terralive_stub.container URL REGION APP STAGE`.

One image serves every stage: a function's `image_config.command` carries the settings that a zip
contains as a file. The order of the arguments must not change, because images that are already in a
registry expect it.
https://docs.aws.amazon.com/lambda/latest/dg/images-create.html#images-parms
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from terralive_stub.stub.takeover import make_stub, take_over

_ARGUMENTS = 4


def main(arguments: Sequence[str]) -> NoReturn:
    if len(arguments) != _ARGUMENTS:
        sys.exit(
            "This is terralive's stub. `terralive start` puts it in a function's place, with its "
            "arguments."
        )
    url, region, app, stage = arguments
    take_over(make_stub(url, region, app, stage))


if __name__ == "__main__":
    main(sys.argv[1:])

"""The entry point of a stub image: `python3 -m terralive_stub.container v2 URL APP STAGE KEY`.

One image serves every stage: a function's `image_config.command` carries the settings that a zip
contains as a file; see `image_arguments.py`.
https://docs.aws.amazon.com/lambda/latest/dg/images-create.html#images-parms
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from terralive_stub.image_arguments import read_command
from terralive_stub.stub.takeover import fail_init, make_stub, take_over


def main(arguments: Sequence[str]) -> NoReturn:
    settings = read_command(arguments)
    if isinstance(settings, str):
        fail_init(settings)
    key = bytes.fromhex(settings.key)
    take_over(make_stub(settings.url, settings.app, settings.stage, lambda _: key))


if __name__ == "__main__":
    main(sys.argv[1:])

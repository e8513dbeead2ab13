"""Decides which deployed functions carry a stub, also one of another stage or version. Pure.

A function's configuration changes before its code. So a function may have its own handler while its
code is still a stub's.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import Enum, auto
from typing import Final

from terralive_cli.live.stub_check import STUB_BYTES, DeployedCode
from terralive_terraform.artifacts import STUB_IMAGE, STUB_PACKAGE
from terralive_terraform.substitution.marker import stage_of

# The end of a zip file that is read: it has the names of all files.
# https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.12
TAIL_BYTES: Final = 64 * 1024
_IN_EVERY_STUB: Final = (f"{STUB_PACKAGE}/live.py".encode(), b"terralive_settings.py")
_STUB_REPOSITORY: Final = re.compile(rf"[^/]+/.+/{STUB_IMAGE}[:@].+")
_WEBSOCKET: Final = ("wss://", "ws://")


class Carried(Enum):
    """A function's code, stub or own, as far as its configuration and its size tell."""

    STUB = auto()  # its configuration is a stub's
    OWN = auto()  # its own code
    UNKNOWN = auto()  # only its code itself tells


def carried(code: DeployedCode) -> Carried:
    """Return what a function carries, as Lambda describes it.

    Terraform's state is no help: its `source_code_hash` may be that of the function's own zip, or
    of the stub's, whatever is deployed.
    """
    if _is_configured(code):
        return Carried.STUB
    if code.is_image or code.size in STUB_BYTES:
        return Carried.UNKNOWN
    return Carried.OWN


def _is_configured(code: DeployedCode) -> bool:
    """Tell whether a function's configuration is that of a stub."""
    # The URL of the debug stack is one of the first two arguments of every version of the image.
    has_url = any(argument.startswith(_WEBSOCKET) for argument in code.command[:2])
    is_handler = code.handler.startswith(f"{STUB_PACKAGE}.")
    return is_handler or has_url or stage_of(code.description) is not None


def is_stub_zip(tail: bytes) -> bool:
    """Tell whether a zip file is a stub's, by its end of at least `TAIL_BYTES`."""
    return all(name in tail for name in _IN_EVERY_STUB)


def is_stub_image(name: str, own: Collection[str]) -> bool:
    """Tell whether a container image is a stub's.

    Args:
        name: the image's name, with registry and tag or digest.
        own: the images of `[stub_image]`.
    """
    return name in own or _STUB_REPOSITORY.fullmatch(name) is not None

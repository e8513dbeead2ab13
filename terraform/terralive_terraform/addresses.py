"""Terraform addresses of resources and of their instances (`count`, `for_each`).

https://developer.hashicorp.com/terraform/cli/state/resource-addressing. Pure: it knows no
configuration and no state.
"""

from __future__ import annotations

import json
import re
from typing import Final

# The text of a key may have dots, brackets and escaped quotes. [*] is no address, but it may stand
# in terralive.toml.
_KEY: Final = re.compile(r'\["(?:[^"\\]|\\.)*"\]|\[[^\]"]*\]')


def without_keys(address: str) -> str:
    """Return an address without instance keys: the address that the configuration declares."""
    return _KEY.sub("", address)


def instance_key(address: str) -> str:
    """Return the key at the end of an address, also a number as a text; "" where there is none."""
    keys = list(_KEY.finditer(address))
    if not keys or keys[-1].end() != len(address):
        return ""
    key = keys[-1][0][1:-1]
    if key.startswith('"'):
        return str(json.loads(key))
    return key


def all_keys(address: str) -> tuple[str, ...]:
    """Return all instance keys in an address, as they are written: `["eu"]`, `[0]`."""
    return tuple(match[0] for match in _KEY.finditer(address))

"""Terraform addresses: what the configuration declares, and the instances that `count` and `for_each` make of it.

https://developer.hashicorp.com/terraform/cli/state/resource-addressing. Pure; it knows no
configuration and no state.
"""

from __future__ import annotations

import re
from typing import Final

# A key's text may hold dots, brackets and escaped quotes. [*] is no address, but settings may say
# it.
_KEY: Final = re.compile(r'\["(?:[^"\\]|\\.)*"\]|\[[^\]"]*\]')


def without_keys(address: str) -> str:
    """Give an address without the keys of instances: what the configuration declares."""
    return _KEY.sub("", address)

"""CDK for Terraform: `cdktf`, or its fork `cdktn` (CDK Terrain), whichever the program uses.

It is the one that the program has imported already, else `cdktn` where it is installed. terralive
itself depends on `cdktf`, so only a team that wants `cdktn` installs it. Both have the same
classes, but an app of one takes no constructs of the other.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Final

__all__ = ["cdk"]

_NAMES: Final = ("cdktn", "cdktf")


def _used() -> str:
    """Return the name of the package that the program uses."""
    imported = [name for name in _NAMES if name in sys.modules]
    if len(imported) == 1:
        return imported[0]
    if importlib.util.find_spec("cdktn") is not None:
        return "cdktn"
    return "cdktf"


if TYPE_CHECKING:
    import cdktf as cdk
else:
    cdk = importlib.import_module(_used())

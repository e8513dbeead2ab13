"""The debug stack: its settings, its resources (CDK for Terraform), and its synthesis.

Public API: `DebugStack`, which a team's own CDK for Terraform program may subclass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from terralive_terraform.debug_stack.stack import DebugStack

__all__ = ["DebugStack"]


def __getattr__(name: str) -> object:
    """Return `DebugStack`. The command line imports this package, and cdktf takes a second."""
    if name == "DebugStack":
        from terralive_terraform.debug_stack.stack import DebugStack  # noqa: PLC0415

        return DebugStack
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

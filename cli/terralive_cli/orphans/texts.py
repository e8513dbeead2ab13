"""Texts about resources that exist, although Terraform's state does not have them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from terralive_cli.orphans.look import Found
from terralive_stub.errors import ConfigurationError, TerraliveError
from terralive_terraform.output.new_resources import import_text

REFERENCE: Final = "resources-exist"
_IN_FILES: Final = "put these blocks into a `*.tf` file of the root module"
_IN_PROGRAM: Final = (
    "call `import_from(ID)` of these resources in the program, each with the id of its block"
)
_OTHERWISE: Final = (
    "Delete on AWS what is not wanted. What another state has stays as it is: give this stage "
    "other names (a variable, another workspace)."
)


def exists(found: Sequence[Found], *, is_program: bool) -> ConfigurationError:
    """Return the error for a deployment that would create what exists.

    Args:
        found: the resources.
        is_program: whether the app is a CDKTF program.
    """
    return ConfigurationError(
        REFERENCE,
        "An earlier deployment of this stage was not finished. AWS has these resources, and the "
        f"Terraform state does not have them:\n{_blocks(found)}\nNothing was changed.",
        hint=f"Are they this stage's? Then {_way(is_program=is_program)}, and run the same command "
        "again: Terraform takes them into the state. Afterwards the blocks may go. "
        f"{_OTHERWISE}",
    )


def left(
    found: Sequence[Found], others: Sequence[Found], options: str, *, is_program: bool
) -> ConfigurationError:
    """Return the error for a destroy that would not know of what a deployment has left.

    Args:
        found: the resources that it has left.
        others: resources that exist, and of which nobody knows who has created them. The apply that
            the hint names asks for them, too.
        options: the options of the command line that name the stage.
        is_program: whether the app is a CDKTF program.
    """
    message = (
        "A deployment of this stage was not finished. These resources were created since it began, "
        f"and the Terraform state does not have them:\n{_blocks(found)}\n"
    )
    if others:
        message += (
            "AWS also has these resources of the configuration, and does not tell since when. They "
            f"may belong to another state:\n{_blocks(others)}\n"
        )
    return ConfigurationError(
        REFERENCE,
        f"{message}Nothing was changed.",
        hint=f"Delete them on AWS. Or take them into the state: {_way(is_program=is_program)}, and "
        f"run `terralive apply {options}`. Then run the same command again.",
    )


def staying_text(found: Sequence[Found]) -> str:
    """Return the warning about resources that may be the stage's, or somebody else's."""
    return (
        "AWS has these resources of the configuration, and the Terraform state does not have them. "
        "They may belong to another state, so they stay:"
        f"\n{_blocks(found)}"
    )


def explain(error: TerraliveError, found: Sequence[Found], *, is_program: bool) -> None:
    """Add `import` blocks to the error of an apply that has found existing resources.

    Args:
        error: the error.
        found: the resources.
        is_program: whether the app is a CDKTF program.
    """
    if not found:
        return
    error.message = (
        f"{error.message}\n\nWith these blocks, Terraform takes what exists into the state:\n"
        f"{_blocks(found)}"
    )
    error.hint = (
        f"{error.hint} If these resources are this stage's, {_way(is_program=is_program)}, and run "
        "the same command again."
    )


def _way(*, is_program: bool) -> str:
    if is_program:
        return _IN_PROGRAM
    return _IN_FILES


def _blocks(found: Sequence[Found]) -> str:
    return import_text(item.import_ for item in found)

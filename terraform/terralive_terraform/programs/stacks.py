"""The stacks that a CDK for Terraform program has written, and the one that becomes live.

https://developer.hashicorp.com/terraform/cdktf/concepts/stacks
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import read_object, section
from terralive_terraform.discovery.declared import FUNCTION_TYPE

_PATTERN: Final = "stacks/*/cdk.tf.json"


def remove_stacks(out: Path) -> None:
    """Remove the stacks of an earlier run: a stack that is gone must not be taken for another."""
    for stale in out.glob(_PATTERN):
        stale.unlink()


def stack_directory(out: Path, wanted: str | None, command: str) -> Path:
    """Return the folder of the stack to make live.

    Args:
        out: the output folder of the program.
        wanted: the stack that the user has named; None for the only one, or the only one that has
            functions.
        command: the program's command, for errors.

    Raises:
        ConfigurationError: `stack-unclear`.
    """
    stacks = {file.parent.name: file.parent for file in sorted(out.glob(_PATTERN))}
    if wanted:
        if wanted in stacks:
            return stacks[wanted]
        raise _unclear(command, tuple(stacks), f"There is no stack {wanted}.")
    if len(stacks) == 1:
        return next(iter(stacks.values()))
    functions = {name: _functions_in(folder) for name, folder in stacks.items()}
    with_functions = [name for name, found in functions.items() if found != 0]
    if len(with_functions) == 1:
        return stacks[with_functions[0]]
    counted = tuple(_counted(name, found) for name, found in functions.items())
    raise _unclear(command, counted, "terralive makes one of them live at a time.", with_functions)


def _functions_in(folder: Path) -> int | None:
    """Return the number of a stack's functions; None where modules may have more."""
    document: Mapping[str, object] = read_object(folder / "cdk.tf.json")
    if section(document, "module"):
        return None
    return len(section(section(document, "resource"), FUNCTION_TYPE))


def _counted(name: str, functions: int | None) -> str:
    if functions is None:
        return f"{name} (with modules)"
    if functions == 1:
        return f"{name} (1 function)"
    return f"{name} ({functions} functions)"


def _unclear(
    command: str, shown: Sequence[str], problem: str, candidates: Sequence[str] = ()
) -> ConfigurationError:
    hint = "The program must call app.synth() and leave the App's outdir as it is (CDKTF_OUTDIR)."
    if shown:
        example = next(iter(candidates), "NAME")
        hint = (
            f"Name one: `--stack {example}`, TERRALIVE_STACK, or [terraform] stack in "
            "terralive.toml. To make several live at the same time, give each a stage of its own: "
            f"`terralive start --stack {example} --stage dev-{example}`."
        )
    return ConfigurationError(
        "stack-unclear",
        f"The CDKTF program `{command}` has these stacks: {', '.join(shown) or 'none'}. {problem}",
        hint=hint,
    )

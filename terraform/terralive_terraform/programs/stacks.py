"""The stacks that a CDK for Terraform program has written, and those that become live.

https://developer.hashicorp.com/terraform/cdktf/concepts/stacks
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import items, read_object, section
from terralive_terraform.discovery.declared import FUNCTION_TYPE

_PATTERN: Final = "stacks/*/cdk.tf.json"


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack that a program has written.

    Attributes:
        directory: its folder, which Terraform runs in. The folder has the stack's name.
        functions: the number of its functions; None where modules may have more.
        dependencies: the names of the stacks that it depends on.
    """

    directory: Path
    functions: int | None = 0
    dependencies: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Its name."""
        return self.directory.name

    @property
    def counted(self) -> str:
        """Its name with the number of its functions, for a person."""
        if self.functions is None:
            return f"{self.name} (with modules)"
        if self.functions == 1:
            return f"{self.name} (1 function)"
        return f"{self.name} ({self.functions} functions)"


def remove_stacks(out: Path) -> None:
    """Remove the stacks of an earlier run: a stack that is gone must not be taken for another."""
    for stale in out.glob(_PATTERN):
        stale.unlink()


def read_stacks(out: Path) -> tuple[Stack, ...]:
    """Return the stacks in the output folder of a program, in the order to apply them."""
    manifest = section(read_object(out / "manifest.json"), "stacks")
    stacks: list[Stack] = []
    for file in sorted(out.glob(_PATTERN)):
        # cdktf notes there which stacks refer to which, and what `addDependency` says.
        dependencies = items(section(manifest, file.parent.name), "dependencies")
        stacks.append(
            Stack(file.parent, _functions_in(file), frozenset(str(item) for item in dependencies))
        )
    return in_order(stacks)


def in_order(stacks: Iterable[Stack]) -> tuple[Stack, ...]:
    """Return stacks in an order in which each one comes after those that it depends on.

    Those of which none depends on another keep their order.
    """
    waiting = list(stacks)
    ordered: list[Stack] = []
    while waiting:
        names = {stack.name for stack in waiting}
        # cdktf refuses a circle. Here, its first stack would come first.
        free = [stack for stack in waiting if not names & stack.dependencies - {stack.name}]
        first = (free or waiting)[0]
        ordered.append(first)
        waiting.remove(first)
    return tuple(ordered)


def selected_stacks(
    stacks: Sequence[Stack], wanted: Sequence[str], command: str
) -> tuple[Stack, ...]:
    """Return the stacks to make live, in the order of `stacks`.

    Args:
        stacks: the program's stacks.
        wanted: the names and patterns that the user has given; () for all with functions.
        command: the program's command, for errors.

    Raises:
        ConfigurationError: `stack-unclear`.
    """
    for pattern in wanted:
        if not any(fnmatch.fnmatchcase(stack.name, pattern) for stack in stacks):
            raise unclear(command, stacks, f"There is no stack {pattern}.")
    if wanted:
        return tuple(
            stack
            for stack in stacks
            if any(fnmatch.fnmatchcase(stack.name, pattern) for pattern in wanted)
        )
    with_functions = tuple(stack for stack in stacks if stack.functions != 0)
    if with_functions:
        return with_functions
    if len(stacks) == 1:
        return tuple(stacks)
    raise unclear(command, stacks, "None of them has a Lambda function.")


def _functions_in(file: Path) -> int | None:
    """Return the number of a stack's functions; None where modules may have more."""
    document = read_object(file)
    if section(document, "module"):
        return None
    return len(section(section(document, "resource"), FUNCTION_TYPE))


def unclear(command: str, stacks: Sequence[Stack], problem: str) -> ConfigurationError:
    """Return the error for stacks of which it is not clear which one is meant."""
    hint = "The program must call app.synth() and leave the App's outdir as it is (CDKTF_OUTDIR)."
    shown = ", ".join(sorted(stack.counted for stack in stacks))
    if stacks:
        hint = (
            f"Name the stacks to make live: `--stack {stacks[0].name}` (more than once for several "
            "stacks; `*` is a wildcard), TERRALIVE_STACK, or [terraform] stack in terralive.toml."
        )
    return ConfigurationError(
        "stack-unclear",
        f"The CDKTF program `{command}` has these stacks: {shown or 'none'}. {problem}",
        hint=hint,
    )

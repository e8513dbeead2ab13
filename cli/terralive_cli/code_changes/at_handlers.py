"""Decides how functions become live whose code Terraform ignores. Pure.

Such a function keeps its handler, where the stub stands. A Python function keeps its runtime, too:
only its code changes, and a `terraform apply` by hand finds nothing to change. A function of
Node.js gets the stub's runtime. If a `terraform apply` by hand sets its own again, the version with
its own code answers (see `handler_files`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from terralive_cli.code_changes.changes import CodeChange, Keep
from terralive_cli.restoring.by_api import FunctionVersion
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.handler_files import can_answer_at, can_stand_at, is_node
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.marker import StageName
from terralive_terraform.substitution.rules import STUB_RUNTIMES

_PUBLISHES: Final = (
    "its code is ignored by Terraform, and it has publish = true: a `terraform apply` while it is "
    "live would publish the stub as a version; leave it as it is, or remove publish on the stages "
    "that you develop on"
)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a function whose code Terraform ignores.

    Attributes:
        address: its address, with instance keys.
        ignored: what its lifecycle ignores of what a stub replaces.
        handler: the handler that its configuration gives it; "" where that is not known.
        runtime: the runtime that its configuration gives it; "" where that is not known.
        function: the function in Terraform's state; None where it is not deployed.
    """

    address: str
    ignored: tuple[str, ...]
    handler: str = ""
    runtime: str = ""
    function: DeployedFunction | None = None

    @property
    def is_node(self) -> bool:
        """Tell whether its own runtime is one of Node.js."""
        return is_node(self.runtime)

    @property
    def change(self) -> CodeChange:
        """The change of its code, as far as it is known without a look at it."""
        arn = ""
        if self.function is not None:
            arn = self.function.arn
        return CodeChange(
            self.address,
            arn,
            "",
            ignored=self.ignored,
            handler=self.handler,
            runtime=self.runtime,
        )


@dataclass(frozen=True, slots=True)
class SeenCode:
    """The code of a function, as it is.

    Attributes:
        version: the function, as Lambda describes it.
        is_stub: whether its code is a stub's.
        stage: the stage that this stub is of; None where it does not tell.
    """

    version: FunctionVersion
    is_stub: bool = False
    stage: StageName | None = None


def handlers_of(seen: FunctionVersion, configured: str) -> tuple[str, ...]:
    """Return the handlers that a stub has to stand at: the function's, and the configured one.

    A `terraform apply` by hand sets the configured one.
    """
    return tuple(sorted({seen.settings.handler, configured} - {""}))


def reason_against(instance: Instance, seen: FunctionVersion) -> str:
    """Return why the stub cannot stand at a function's handlers; "" where it can."""
    if instance.function is not None and instance.function.package.publish:
        return _PUBLISHES
    runtime = seen.settings.runtime
    may_be_node = instance.is_node and is_node(runtime)
    if seen.is_image or not (runtime in STUB_RUNTIMES or may_be_node):
        return (
            "its code is ignored by Terraform, and terralive makes such functions live on Python "
            f"3.11 and later and on Node.js only; on Lambda, its runtime is {runtime or 'another'}"
        )
    for handler in handlers_of(seen, instance.handler):
        is_possible = can_stand_at(handler)
        if instance.is_node:
            is_possible = can_answer_at(handler)
        if not is_possible:
            return (
                "its code is ignored by Terraform, and no stub can stand at its handler "
                f"{handler}: it is no name of a module and a function, or the module has the name "
                "of one that the stub needs"
            )
    return ""


def instances_of(
    function: DeclaredFunction, ignored: tuple[str, ...], deployed: Mapping[str, DeployedFunction]
) -> list[Instance]:
    """Return the instances of a function whose code Terraform ignores."""
    return [
        Instance(
            item.address,
            ignored,
            item.handler or "",
            item.runtime or "",
            deployed.get(item.address),
        )
        for item in function.instances or ()
    ]


def planned_change(instance: Instance, seen: SeenCode, stubs: Collection[str]) -> CodeChange | None:
    """Return the change of a function's code; None where this stage's stub is in place.

    Args:
        instance: the function.
        seen: its code.
        stubs: the sums of this stage's stub at its handlers; none before the stage is deployed.
    """
    if seen.version.sha256 in stubs and seen.version.settings.runtime in STUB_RUNTIMES:
        return None
    keep = Keep.VERSION
    if seen.is_stub:
        keep = Keep.KNOWN
    return CodeChange(
        instance.address,
        seen.version.function,
        seen.version.sha256,
        keep=keep,
        ignored=instance.ignored,
        handler=instance.handler,
        runtime=instance.runtime,
    )

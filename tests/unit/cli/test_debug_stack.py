"""The outputs and the secret of a debug stack, which one command reads once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import boto3
import pytest

from terralive_cli.configuration.tables import TerraformConfig
from terralive_cli.configuration.values import Config
from terralive_cli.deploy.aws import Caller
from terralive_cli.deploy.debug_stack import NO_SECRET, DebugStack, DebugStackOutputs
from terralive_cli.deploy.plans import ReadyPlan
from terralive_cli.deploy.target import Stage, Target
from terralive_cli.joining.description import StackDescription
from terralive_cli.joining.inventory import AwsInventory
from terralive_cli.joining.look import Existing
from terralive_cli.output.progress import Phase
from terralive_terraform.debug_stack.settings import DebugStackSettings
from terralive_terraform.output.plans import TerraformPlan
from terralive_terraform.runs.runner import Terraform

SECRET = b"s" * 32
TEXTS = {
    "stub_url": "wss://stub",
    "relay_url": "wss://relay",
    "table_name": "table",
    "broker_name": "broker",
}
OUTPUTS = DebugStackOutputs(**TEXTS, secret=SECRET)


@dataclass(frozen=True)
class TableOwner(Caller):
    """A caller whose table has a secret, or gets one.

    Attributes:
        calls: what was asked of the table.
    """

    known: bytes | None = SECRET
    calls: list[str] = field(default_factory=list)

    def secret(self, table_name: str) -> bytes | None:
        self.calls.append(f"read {table_name}")
        return self.known

    def create_secret(self, table_name: str) -> bytes:
        self.calls.append(f"make {table_name}")
        return SECRET


@dataclass
class World:
    """A debug stack of another checkout, which is used as it is."""

    caller: TableOwner
    stack: DebugStack

    @classmethod
    def of(cls, secret: bytes | None) -> World:
        caller = TableOwner(
            account="123456789012",
            arn="arn:aws:iam::123456789012:user/ana",
            region="eu-west-1",
            credentials=lambda: pytest.fail("nobody asks for credentials"),
            session=boto3.Session("AKIA", "secret", region_name="eu-west-1"),
            endpoint_url=None,
            known=secret,
        )
        target = Target("account 123456789012", "eu-west-1", {}, caller, Path())
        config = Config(Path(), "orders", "dev", "ana", TerraformConfig(Path()))
        stage = Stage(config, target, lambda *_: None, {})
        description = StackDescription(
            "orders", "dev", "source", "ben", "2026-01-01", "0.2.0", 2, {}, TEXTS
        )
        stack = DebugStack(
            stage,
            Phase("debug-stack", stage.emit),
            DebugStackSettings("orders", "dev", "eu-west-1", "ana", "2026-01-01", "0.2.0"),
            Path(),
            Terraform(Path(), environment={}, on_progress=lambda _: None),
            AwsInventory(caller),
            Existing(description, is_joined=True),
        )
        return cls(caller, stack)

    def applied(self, deployed: DebugStackOutputs | None, *, changes: bool) -> DebugStackOutputs:
        plan = TerraformPlan((), has_changes=changes, file=Path("plan"))
        ready = ReadyPlan(plan, self.stack.terraform, self.stack.phase)
        return self.stack.apply(ready, deployed)


def test_a_debug_stack_that_does_not_change_keeps_what_was_read_of_it() -> None:
    world = World.of(SECRET)
    deployed = world.stack.outputs()
    assert deployed == OUTPUTS
    assert world.applied(deployed, changes=False) == OUTPUTS
    assert world.caller.calls == ["read table"]


@pytest.mark.parametrize(
    ("deployed", "changes"),
    [(OUTPUTS, True), (None, False), (replace(OUTPUTS, secret=NO_SECRET), False)],
    ids=["its plan has changes", "it is new", "it has no secret"],
)
def test_a_secret_is_made_where_there_may_be_none(
    deployed: DebugStackOutputs | None, *, changes: bool
) -> None:
    world = World.of(None)
    assert world.applied(deployed, changes=changes) == OUTPUTS
    assert world.caller.calls == ["make table"]

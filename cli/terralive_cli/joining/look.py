"""A look at what exists of a debug stack, before anything is created or removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from terralive_cli.joining import decision
from terralive_cli.joining.decision import Project
from terralive_cli.joining.description import StackDescription
from terralive_terraform.debug_stack import adoption
from terralive_terraform.debug_stack.adoption import Import, Inventory, Resource
from terralive_terraform.debug_stack.settings import DebugStackSettings
from terralive_terraform.output.state import ResourceInstance, reserved_concurrency

_BROKER: Final = "aws_lambda_function.broker"


class Account(Inventory, Protocol):
    """The caller's account; see `inventory.AwsInventory`."""

    @property
    def tags(self) -> Sequence[Mapping[str, str]]:
        """The tags of each resource that was found by its name."""

    @property
    def reserved(self) -> int | None:
        """The reserved concurrency of the function that was found by its name."""

    def description(self, table: str) -> StackDescription | None:
        """Read the description of a debug stack."""


@dataclass(frozen=True, slots=True)
class Existing:
    """Resources of a debug stack that exist.

    Attributes:
        description: its description in the table; None where there is none.
        in_state: whether Terraform's state here has any of its resources.
        of_another_state: whether two states have made a debug stack at the same time, and the one
            that is described is not the one in the state here.
        is_joined: whether it is used as it is, without its state.
        imports: resources that the state here lacks.
        has_broker: whether there is a broker.
        reserved: the broker's reserved concurrency; None for none.
    """

    description: StackDescription | None
    in_state: bool = False
    of_another_state: bool = False
    is_joined: bool = False
    imports: tuple[Import, ...] = ()
    has_broker: bool = False
    reserved: int | None = None


def look(
    project: Project,
    settings: DebugStackSettings,
    wanted: Sequence[Resource],
    instances: Mapping[str, ResourceInstance],
    account: Account,
    *,
    joins: bool,
) -> Existing:
    """Look for a debug stack.

    Args:
        project: this checkout.
        settings: the settings, for its names.
        wanted: the resources of its configuration.
        instances: the resources in Terraform's state here.
        account: the account.
        joins: whether a debug stack without a state here is used as it is, if that is possible.

    Raises:
        StageHeldError, ConfigurationError: it must not be used; see `decision`.
        CredentialsError: AWS has refused a question.
    """
    description = account.description(settings.name("connections"))
    if instances:
        return _with_state(description, wanted, instances, account)
    if description is not None:
        decision.require_own_stack(project, description)
        if joins and decision.may_join(project, description):
            return Existing(description, is_joined=True)
    imports = adoption.find(wanted, {}, account)
    decision.require_own_tags(project, settings.name(), account.tags)
    return Existing(
        description,
        imports=imports,
        has_broker=any(item.address == _BROKER for item in imports),
        reserved=account.reserved,
    )


def _with_state(
    description: StackDescription | None,
    wanted: Sequence[Resource],
    instances: Mapping[str, ResourceInstance],
    account: Account,
) -> Existing:
    if description is not None and not _is_of(description, instances):
        return Existing(description, in_state=True, of_another_state=True)
    present = {address: instance.id for address, instance in instances.items()}
    imports: tuple[Import, ...] = ()
    if not adoption.is_complete(wanted, present):
        imports = adoption.find(wanted, present, account)
    reserved = account.reserved
    broker = instances.get(_BROKER)
    if broker is not None:
        reserved = reserved_concurrency(broker.attributes)
    has_broker = broker is not None or any(item.address == _BROKER for item in imports)
    return Existing(
        description, in_state=True, imports=imports, has_broker=has_broker, reserved=reserved
    )


def _is_of(description: StackDescription, instances: Mapping[str, ResourceInstance]) -> bool:
    """Tell whether a description is of the APIs in a state."""
    addresses = " ".join(description.outputs.values())
    for instance in instances.values():
        if instance.type == adoption.API and instance.id not in addresses:
            return False
    return True

"""The list of debug stacks, from what was read of them. Pure."""

from __future__ import annotations

from typing import Final

from terralive_cli.joining.decision import IMAGE_REPOSITORY
from terralive_cli.stages.events import Connection, ListedStack
from terralive_cli.stages.looks import (
    Functions,
    StackLook,
    connection_of,
    label,
    live_functions,
    timestamp,
)

_MILLISECONDS: Final = 1000
# API Gateway, Lambda and an on-demand table are paid by use, so only storage is left:
# https://aws.amazon.com/api-gateway/pricing/, https://aws.amazon.com/dynamodb/pricing/on-demand/
_STORAGE: Final = "storage of a few MB: less than 1 cent a month"
# https://aws.amazon.com/ecr/pricing/
_IMAGES: Final = "the stub's images in ECR: about 10 cents a month for each GB"
_CONNECTED: Final = "messages and connection time of its WebSocket APIs, and storage"
_NO_TABLE: Final = "its table is missing: an apply or a destroy was interrupted"
_NO_DESCRIPTION: Final = "its first apply was not finished"


def listed(look: StackLook, functions: Functions, region: str, now_ms: int) -> ListedStack:
    """Return a debug stack as the list shows it.

    Args:
        look: what was read of it.
        functions: the functions of the account and region.
        region: the region.
        now_ms: AWS's time.
    """
    stack, items = look.stack, look.items
    created_ms, used_ms = look.created_ms(), look.used_ms(now_ms)
    connection = connection_of(items, now_ms)
    idle_s = _seconds(now_ms - used_ms)
    if connection is Connection.CONNECTED:
        idle_s = 0.0
    holder, machine = "", ""
    if items.lease is not None:
        holder, machine = items.lease.owner, items.lease.machine
    live = live_functions(stack.stage, items, functions)
    return ListedStack(
        app=stack.stage.app,
        stage=stack.stage.stage,
        owner=stack.owner,
        source=stack.source,
        version=stack.version,
        created=timestamp(created_ms),
        age_s=_seconds(now_ms - created_ms),
        used=timestamp(used_ms),
        idle_s=idle_s,
        connection=connection,
        holder=holder,
        machine=machine,
        live=tuple(label(arn, region) for arn in live),
        cost=_cost(look, connection),
        note=_note(look),
    )


def _seconds(milliseconds: int) -> float:
    return max(milliseconds, 0) / _MILLISECONDS


def _cost(look: StackLook, connection: Connection) -> str:
    if connection is Connection.CONNECTED:
        return _CONNECTED
    description = look.items.description
    if description is not None and description.outputs.get(IMAGE_REPOSITORY):
        return f"{_STORAGE}; {_IMAGES}"
    return _STORAGE


def _note(look: StackLook) -> str:
    items = look.items
    if items.refusal:
        return f"its table cannot be read: {items.refusal}"
    if not items.exists:
        return _NO_TABLE
    if items.description is None:
        return _NO_DESCRIPTION
    return ""

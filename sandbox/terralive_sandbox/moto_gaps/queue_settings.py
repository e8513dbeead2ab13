"""SQS: attributes that moto forgets, and the one that it does not know."""

from __future__ import annotations

from typing import Any

from moto.sqs.models import Queue


def queues_keep_their_attributes() -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html.

    A policy goes only where it is set to nothing (moto drops it with any other attribute that is set), and
    RedriveAllowPolicy is an attribute too.
    """
    set_attributes, attributes = Queue._set_attributes, Queue.attributes  # noqa: SLF001 - the gap
    Queue.BASE_ATTRIBUTES.append("RedriveAllowPolicy")
    Queue.redrive_allow_policy = None  # type: ignore[attr-defined] # the gap

    def keep(self: Queue, changes: dict[str, Any], now: float | None = None) -> None:
        kept = {"Policy": self.policy} if "_policy_json" in vars(self) else {}
        set_attributes(self, {**kept, **changes}, now)

    def described(self: Queue) -> dict[str, Any]:
        found: dict[str, Any] = attributes.fget(self)  # type: ignore[attr-defined] # a property
        return {name: value for name, value in found.items() if name != "RedriveAllowPolicy" or value}

    Queue._set_attributes = keep  # type: ignore[assignment,method-assign] # noqa: SLF001 - the gap
    Queue.attributes = property(described)  # type: ignore[assignment,method-assign] # the gap

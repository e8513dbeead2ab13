"""Messages to the queues and topics that functions, rules, buckets and subscriptions name.

Sent only if the sender may: a function's role by its own policies, a service by the queue's or
topic's policy. Everything here runs on the thread that owns moto's state (`ControlPlane.call`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from moto.core.exceptions import JsonRESTError, ServiceException
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from terralive_sandbox.access.identity import ACCOUNT, role_documents
from terralive_sandbox.access.policy import AccessRequest, Decision, decide

_ACTIONS = {"sqs": "sqs:SendMessage", "sns": "sns:Publish"}


class DestinationError(Exception):
    """Nothing was sent.

    The destination is gone, or the sender may not. `code` is EventBridge's name for it.
    """

    def __init__(self, message: str, code: str = "INVALID_PARAMETER") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Role:
    """Sends as a role."""

    arn: str


@dataclass(frozen=True, slots=True)
class Service:
    """Sends as a service (`events.amazonaws.com`) on behalf of one of its resources."""

    principal: str
    source_arn: str


def send(
    sender: Role | Service,
    arn: str,
    body: str,
    attributes: Mapping[str, str],
    *,
    group: str | None = None,
    subject: str | None = None,
) -> None:
    """Send a message with string attributes; `group` is for FIFO queues, `subject` for topics.

    Raises:
        DestinationError: nothing was sent.
    """
    _, _, service, region, _, name = arn.split(":", 5)
    require(sender, arn)
    try:
        if service == "sqs":
            sent = {n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()}
            sqs_backends[ACCOUNT][region].send_message(
                name, body, message_attributes=sent, group_id=group
            )
        else:
            given = {n: {"Type": "String", "Value": v} for n, v in attributes.items()}
            sns_backends[ACCOUNT][region].publish(
                body, arn, subject=subject, message_attributes=given
            )
    except (JsonRESTError, ServiceException) as error:
        raise DestinationError(f"{arn}: {error}") from error


def require(sender: Role | Service, arn: str) -> None:
    """Raises DestinationError unless the destination exists and the sender may send there."""
    _, _, service, region, _, name = arn.split(":", 5)
    action = _ACTIONS.get(service)
    if action is None:
        raise DestinationError(
            f"terralive's sandbox does not emulate {service} as a destination of failures"
        )
    if service == "sqs":
        queue = sqs_backends[ACCOUNT][region].queues.get(name)
        document = None if queue is None else _text(queue.policy)
    else:
        topic = sns_backends[ACCOUNT][region].topics.get(arn)
        document = None if topic is None else topic.policy or "{}"
    if document is None:
        raise DestinationError(f"{arn} does not exist", "NO_RESOURCE")
    if isinstance(sender, Role):
        documents, request = role_documents(sender.arn), AccessRequest(action, (arn,))
    else:
        context = {"aws:SourceArn": sender.source_arn, "aws:SourceAccount": ACCOUNT}
        documents, request = (
            (document,),
            AccessRequest(action, (arn,), (sender.principal,), context),
        )
    if decide(documents, request) is not Decision.ALLOWED:
        who = sender.arn if isinstance(sender, Role) else sender.principal
        raise DestinationError(f"{who} may not {action} on {arn}", "NO_PERMISSIONS")


def _text(policy: object) -> str:
    """A queue's policy as moto holds it.

    The text that was set, or what AddPermission has made of it.
    """
    return policy if isinstance(policy, str) and policy else json.dumps(policy or {})

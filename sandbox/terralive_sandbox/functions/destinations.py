"""Send messages to the queues and topics that functions, rules, buckets and subscriptions name.

The sender needs permission: a role as every caller does, a service by the policy of the queue or
topic. Everything here runs on the thread that owns moto's state (`ControlPlane.call`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from moto.core.exceptions import JsonRESTError, ServiceException
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from terralive_sandbox.access.identity import role_may
from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_sandbox.access.resource_policies import find_policy
from terralive_sandbox.places import Place

# Service of the destination -> the action that the sender needs.
_ACTIONS: Final[Mapping[str, str]] = {"sqs": "sqs:SendMessage", "sns": "sns:Publish"}


class DestinationError(Exception):
    """Nothing was sent: the destination does not exist, or the sender has no permission.

    Attributes:
        code: EventBridge's name of the reason (`NO_PERMISSIONS`).
    """

    def __init__(self, message: str, code: str = "INVALID_PARAMETER") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Service:
    """A sender that is a service, on behalf of one of its resources.

    Attributes:
        principal: the service (`events.amazonaws.com`).
        source_arn: the resource (an EventBridge rule, a bucket, a subscription).
        source_account: the account of the resource.
        role: the role that the service assumes to send; "" where it sends as itself.
    """

    principal: str
    source_arn: str
    source_account: str
    role: str = ""


def send(
    sender: Service | str,
    arn: str,
    body: str,
    attributes: Mapping[str, str],
    *,
    group: str | None = None,
    subject: str | None = None,
) -> None:
    """Send a message.

    Args:
        sender: a service that sends as itself, or the ARN of a role; it needs permission.
        arn: the queue or topic.
        body: the message's text.
        attributes: the message's string attributes.
        group: the message group of a FIFO queue.
        subject: the subject of a topic's message.

    Raises:
        DestinationError: nothing was sent.
    """
    place = Place.of(arn)
    require(sender, arn)
    try:
        if arn.split(":")[2] == "sqs":
            queues = sqs_backends[place.account][place.region]
            typed = {
                key: {"DataType": "String", "StringValue": value}
                for key, value in attributes.items()
            }
            name = arn.rpartition(":")[2]
            queues.send_message(name, body, message_attributes=typed, group_id=group)
        else:
            topics = sns_backends[place.account][place.region]
            typed = {key: {"Type": "String", "Value": value} for key, value in attributes.items()}
            topics.publish(body, arn, subject=subject, message_attributes=typed)
    except (JsonRESTError, ServiceException) as error:
        raise DestinationError(f"{arn}: {error}") from error


def require(sender: Service | str, arn: str) -> None:
    """Raise DestinationError unless the destination exists and the sender may send to it."""
    service = arn.split(":")[2]
    action = _ACTIONS.get(service)
    if action is None:
        raise DestinationError(
            f"terralive's sandbox does not emulate {service} as a destination of failures"
        )
    policy = find_policy(arn)
    if policy is None:
        raise DestinationError(f"{arn} does not exist", "NO_RESOURCE")
    if isinstance(sender, str):
        name = sender
        is_allowed = role_may(sender, action, arn)
    else:
        name = sender.principal
        context = {"aws:SourceArn": sender.source_arn, "aws:SourceAccount": sender.source_account}
        asked = AccessRequest(action, (arn,), (sender.principal,), context)
        is_allowed = decide([policy.document], asked) is Decision.ALLOWED
    if not is_allowed:
        raise DestinationError(f"{name} may not {action} on {arn}", "NO_PERMISSIONS")

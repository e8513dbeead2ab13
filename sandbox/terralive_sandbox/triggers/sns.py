"""What a function that is subscribed to a topic gets. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notification:
    """One message on its way from a topic to a function."""

    subscription_arn: str
    topic_arn: str
    message: str
    message_id: str
    subject: str | None
    attributes: Mapping[str, Mapping[str, object]]
    now: dt.datetime


def sns_event(notification: Notification) -> dict[str, object]:
    """The event of https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html."""
    return {
        "Records": [
            {
                "EventVersion": "1.0",
                "EventSubscriptionArn": notification.subscription_arn,
                "EventSource": "aws:sns",
                "Sns": message_of(notification),
            }
        ]
    }


def message_of(notification: Notification) -> dict[str, object]:
    """The message inside of an event."""
    region = notification.topic_arn.split(":")[3]
    host = f"https://sns.{region}.amazonaws.com"
    return {
        "SignatureVersion": "1",
        "Timestamp": notification.now.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "Signature": "the-sandbox-does-not-sign",
        "SigningCertUrl": f"{host}/SimpleNotificationService-sandbox.pem",
        "MessageId": notification.message_id,
        "Message": notification.message,
        "MessageAttributes": {
            name: {"Type": str(a.get("Type", "String")), "Value": a.get("Value")}
            for name, a in notification.attributes.items()
        },
        "Type": "Notification",
        "UnsubscribeUrl": f"{host}/?Action=Unsubscribe&SubscriptionArn={notification.subscription_arn}",
        "TopicArn": notification.topic_arn,
        "Subject": notification.subject,
    }

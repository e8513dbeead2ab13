"""The messages that an SNS topic sends to functions and dead-letter queues. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from terralive_stub.shared.timestamps import format_datetime


def sns_event(subscription_arn: str, message: Mapping[str, object]) -> dict[str, object]:
    """Return the event of a subscribed function."""
    record = {
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription_arn,
        "EventSource": "aws:sns",
        "Sns": message,
    }
    return {"Records": [record]}


def sns_message(
    subscription_arn: str,
    message_id: str,
    text: str,
    subject: str | None,
    attributes: Mapping[str, Mapping[str, object]],
    *,
    now: dt.datetime,
) -> dict[str, object]:
    """Return the message inside of an event.

    Args:
        subscription_arn: the ARN of the subscription, which begins with the topic's ARN.
        message_id: the message's id.
        text: the message's text.
        subject: the message's subject, if any.
        attributes: the message attributes, by name, each with its `Type` and `Value`.
        now: when the message was published.
    """
    topic_arn = subscription_arn.rpartition(":")[0]
    region = topic_arn.split(":")[3]
    host = f"https://sns.{region}.amazonaws.com"
    message_attributes = {}
    for name, attribute in attributes.items():
        message_attributes[name] = {
            "Type": str(attribute.get("Type", "String")),
            "Value": attribute.get("Value"),
        }
    return {
        "SignatureVersion": "1",
        "Timestamp": format_datetime(now),
        "Signature": "the-sandbox-does-not-sign",
        "SigningCertUrl": f"{host}/SimpleNotificationService-sandbox.pem",
        "MessageId": message_id,
        "Message": text,
        "MessageAttributes": message_attributes,
        "Type": "Notification",
        "UnsubscribeUrl": f"{host}/?Action=Unsubscribe&SubscriptionArn={subscription_arn}",
        "TopicArn": topic_arn,
        "Subject": subject,
    }

"""What a topic sends to functions and dead-letter queues. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping


def sns_event(subscription_arn: str, message: Mapping[str, object]) -> dict[str, object]:
    """The event of a subscribed function."""
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
    """The message inside of an event."""
    topic_arn = subscription_arn.rpartition(":")[0]
    host = f"https://sns.{topic_arn.split(':')[3]}.amazonaws.com"
    return {
        "SignatureVersion": "1",
        "Timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "Signature": "the-sandbox-does-not-sign",
        "SigningCertUrl": f"{host}/SimpleNotificationService-sandbox.pem",
        "MessageId": message_id,
        "Message": text,
        "MessageAttributes": {
            name: {"Type": str(a.get("Type", "String")), "Value": a.get("Value")}
            for name, a in attributes.items()
        },
        "Type": "Notification",
        "UnsubscribeUrl": f"{host}/?Action=Unsubscribe&SubscriptionArn={subscription_arn}",
        "TopicArn": topic_arn,
        "Subject": subject,
    }

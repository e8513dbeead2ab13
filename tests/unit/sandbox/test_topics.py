"""The event that a function receives from a topic.

https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
"""

from __future__ import annotations

import datetime as dt

from terralive_sandbox.triggers.topics import sns_event, sns_message


def test_the_sns_event_is_that_of_the_documentation() -> None:
    message = sns_message(
        "arn:aws:sns:us-east-2:1:t:s",
        "id",
        "m",
        "s",
        {"a": {"Type": "String", "Value": "b"}},
        now=dt.datetime(2019, 1, 2, 12, 45, 7, tzinfo=dt.UTC),
    )
    records = sns_event("arn:aws:sns:us-east-2:1:t:s", message)["Records"]
    assert isinstance(records, list)
    assert set(records[0]) == {"EventSource", "EventVersion", "EventSubscriptionArn", "Sns"}
    assert records[0]["Sns"]["Timestamp"] == "2019-01-02T12:45:07.000Z"
    assert set(records[0]["Sns"]) == {
        "Type",
        "MessageId",
        "TopicArn",
        "Subject",
        "Message",
        "Timestamp",
        "SignatureVersion",
        "Signature",
        "SigningCertUrl",
        "UnsubscribeUrl",
        "MessageAttributes",
    }

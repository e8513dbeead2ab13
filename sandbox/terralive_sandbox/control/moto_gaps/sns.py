"""SNS.

Topics invoke their subscribed functions, and what a subscriber does not take goes to its
dead-letter queue.
"""

from __future__ import annotations

import datetime as dt
import json

from moto.sns.exceptions import SNSInvalidParameter
from moto.sns.models import SNSBackend, Subscription

from terralive_sandbox.functions.destinations import Service
from terralive_sandbox.triggers.deliveries import Deliveries
from terralive_sandbox.triggers.topics import sns_event, sns_message


def topics_invoke_functions(deliveries: Deliveries) -> None:
    """What moto sends functions is a constant event without topic, id or attributes, and it waits.

    A queue that does not let the topic send gets nothing either (its policy; moto does not look).
    https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html: a subscriber that does
    not take a message for such a reason is not asked again; the message goes to the subscription's
    dead-letter queue at once.
    """
    publish = Subscription.publish

    def publish_to_subscriber(  # noqa: PLR0917 - moto's signature
        self: Subscription,
        message: str,
        message_id: str,
        subject: str | None = None,
        message_attributes: dict[str, dict[str, object]] | None = None,
        group_id: str | None = None,
        deduplication_id: str | None = None,
        message_structure: str | None = None,
    ) -> None:
        matcher = self._filter_policy_matcher
        if matcher is not None and not matcher.matches(message_attributes, message):
            return
        text = (
            self._parse_message_structure(message, self.protocol)
            if message_structure == "json"
            else message
        )
        told = sns_message(
            self.arn,
            message_id,
            text,
            subject,
            message_attributes or {},
            now=dt.datetime.now(dt.UTC),
        )
        sender = Service("sns.amazonaws.com", self.topic.arn)
        refused = None
        if self.protocol == "lambda":
            refused = deliveries.send(sender, self.endpoint, json.dumps(sns_event(self.arn, told)))
        elif self.protocol == "sqs":
            refused = deliveries.refusal(sender, self.endpoint)
        if refused is not None:
            queue = json.loads(self.attributes.get("RedrivePolicy") or "{}").get(
                "deadLetterTargetArn"
            )
            if queue:
                deliveries.send(sender, queue, json.dumps(told))
        elif self.protocol != "lambda":
            publish(
                self,
                message,
                message_id,
                subject,
                message_attributes,
                group_id,
                deduplication_id,
                message_structure,
            )

    Subscription.publish = publish_to_subscriber  # type: ignore[method-assign] # the gap


def fifo_topics_take_queues_only() -> None:
    """https://docs.aws.amazon.com/sns/latest/dg/fifo-message-delivery.html."""
    subscribe = SNSBackend.subscribe

    def subscribe_what_fits(
        self: SNSBackend, topic_arn: str, endpoint: str, protocol: str
    ) -> Subscription:
        if self.get_topic(topic_arn).fifo_topic and protocol != "sqs":
            raise SNSInvalidParameter(
                "Invalid parameter: Invalid parameter: Endpoint Reason: Please use FIFO SQS queue"
            )
        return subscribe(self, topic_arn, endpoint, protocol)

    SNSBackend.subscribe = subscribe_what_fits  # type: ignore[method-assign] # the gap

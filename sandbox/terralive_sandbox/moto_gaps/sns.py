"""SNS: topics invoke their subscribed functions, and what a subscriber does not take goes to its dead-letter queue."""

from __future__ import annotations

import datetime as dt
import json
import sys

from moto.sns.exceptions import SNSInvalidParameter
from moto.sns.models import SNSBackend, Subscription

from terralive_sandbox.triggers.deliveries import Deliver
from terralive_sandbox.triggers.destinations import DestinationError, Service, require, send
from terralive_sandbox.triggers.sns import Notification, message_of, sns_event

_SERVICE = "sns.amazonaws.com"


def topics_invoke_functions(deliver: Deliver) -> None:
    """What moto sends functions is a constant event without topic, id or attributes, and it waits.

    A queue that does not let the topic send gets nothing either (its policy; moto does not look).
    https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html: a subscriber that does not take a message for
    such a reason is not asked again; the message goes to the subscription's dead-letter queue at once.
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
        text = self._parse_message_structure(message, self.protocol) if message_structure == "json" else message
        notification = Notification(
            self.arn, self.topic.arn, text, message_id, subject, message_attributes or {}, dt.datetime.now(dt.UTC)
        )
        if self.protocol == "lambda":
            if deliver(self.endpoint, sns_event(notification), _SERVICE, self.topic.arn):
                _to_dead_letters(self, notification)
            return
        if self.protocol == "sqs":
            try:
                require(Service(_SERVICE, self.topic.arn), self.endpoint)
            except DestinationError as error:
                sys.stderr.write(f"{self.arn}: {error}; aws_sqs_queue_policy is missing, or the queue\n")
                _to_dead_letters(self, notification)
                return
        publish(self, message, message_id, subject, message_attributes, group_id, deduplication_id, message_structure)

    Subscription.publish = publish_to_subscriber  # type: ignore[method-assign] # the gap


def _to_dead_letters(subscription: Subscription, notification: Notification) -> None:
    queue = json.loads(subscription.attributes.get("RedrivePolicy") or "{}").get("deadLetterTargetArn")
    if queue:
        try:
            send(Service(_SERVICE, subscription.topic.arn), queue, json.dumps(message_of(notification)), {})
        except DestinationError as error:
            sys.stderr.write(f"{subscription.arn}: its dead-letter queue took nothing: {error}\n")


def fifo_topics_take_queues_only() -> None:
    """https://docs.aws.amazon.com/sns/latest/dg/fifo-message-delivery.html."""
    subscribe = SNSBackend.subscribe

    def subscribe_what_fits(self: SNSBackend, topic_arn: str, endpoint: str, protocol: str) -> Subscription:
        if self.get_topic(topic_arn).fifo_topic and protocol != "sqs":
            raise SNSInvalidParameter(
                "Invalid parameter: Invalid parameter: Endpoint Reason: Please use FIFO SQS queue"
            )
        return subscribe(self, topic_arn, endpoint, protocol)

    SNSBackend.subscribe = subscribe_what_fits  # type: ignore[method-assign] # the gap

"""SNS: topics invoke functions, and failed deliveries go to the dead-letter queue."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from moto.sns.exceptions import SNSInvalidParameter
from moto.sns.models import SNSBackend, Subscription

from terralive_sandbox.control.moto_gaps.replacements import Replacements
from terralive_sandbox.functions.destinations import Service
from terralive_sandbox.places import Place
from terralive_sandbox.triggers.deliveries import Deliveries
from terralive_sandbox.triggers.topics import sns_event, sns_message


def declare(replacements: Replacements, deliveries: Deliveries) -> None:
    """Declare the replacements.

    Args:
        replacements: the list that gets them.
        deliveries: invokes functions and sends messages to queues.
    """
    _replace_publish(replacements, deliveries)
    _replace_subscribe(replacements)


def _replace_publish(replacements: Replacements, deliveries: Deliveries) -> None:
    """Deliver to functions, and only where the subscriber's policy lets the topic send.

    Moto sends functions a constant event without topic, id or attributes and waits for the
    function; it does not look at a queue's policy.
    A subscriber whose policy denies a message is not tried again: the message goes to the
    subscription's dead-letter queue at once
    (https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html).
    """
    moto_publish = Subscription.publish

    def publish(
        self: Subscription,
        message: str,
        message_id: str,
        subject: str | None = None,
        message_attributes: dict[str, dict[str, object]] | None = None,
        **others: Any,
    ) -> None:
        matcher = self._filter_policy_matcher
        if matcher is not None and not matcher.matches(message_attributes, message):
            return
        text = message
        if others.get("message_structure") == "json":
            text = self._parse_message_structure(message, self.protocol)
        now = dt.datetime.now(dt.UTC)
        attributes = message_attributes or {}
        document = sns_message(self.arn, message_id, text, subject, attributes, now=now)
        account = Place.of(self.topic.arn).account
        sender = Service("sns.amazonaws.com", self.topic.arn, account)
        error = None
        if self.protocol == "lambda":
            event = json.dumps(sns_event(self.arn, document))
            error = deliveries.send(sender, self.endpoint, event)
        elif self.protocol == "sqs":
            error = deliveries.check(sender, self.endpoint)
        if error is not None:
            redrive_policy = json.loads(self.attributes.get("RedrivePolicy") or "{}")
            queue = redrive_policy.get("deadLetterTargetArn")
            if queue:
                deliveries.send(sender, queue, json.dumps(document))
        elif self.protocol != "lambda":
            moto_publish(self, message, message_id, subject, message_attributes, **others)

    replacements.replace(Subscription, "publish", publish)


def _replace_subscribe(replacements: Replacements) -> None:
    """Let only queues subscribe to a FIFO topic.

    https://docs.aws.amazon.com/sns/latest/dg/fifo-message-delivery.html
    """
    moto_subscribe = SNSBackend.subscribe

    def subscribe(self: SNSBackend, topic_arn: str, endpoint: str, protocol: str) -> Subscription:
        if self.get_topic(topic_arn).fifo_topic and protocol != "sqs":
            raise SNSInvalidParameter(
                "Invalid parameter: Invalid parameter: Endpoint Reason: Please use FIFO SQS queue"
            )
        subscription: Subscription = moto_subscribe(self, topic_arn, endpoint, protocol)
        if protocol == "sqs":
            # Moto looks for the queue in this account.
            subscription.account_id = Place.of(endpoint).account
        return subscription

    replacements.replace(SNSBackend, "subscribe", subscribe)

"""SNS: topics invoke their subscribed functions."""

from __future__ import annotations

import datetime as dt

from moto.sns.models import Subscription

from terralive_sandbox.triggers.deliveries import Deliver
from terralive_sandbox.triggers.sns import Notification, sns_event


def topics_invoke_functions(deliver: Deliver) -> None:
    """What moto sends functions a constant event without topic, id or attributes, and it waits."""
    publish = Subscription.publish

    def publish_to_function(  # noqa: PLR0917 - moto's signature
        self: Subscription,
        message: str,
        message_id: str,
        subject: str | None = None,
        message_attributes: dict[str, dict[str, object]] | None = None,
        group_id: str | None = None,
        deduplication_id: str | None = None,
        message_structure: str | None = None,
    ) -> None:
        if self.protocol != "lambda":
            publish(
                self, message, message_id, subject, message_attributes,
                group_id, deduplication_id, message_structure,
            )  # fmt: skip
            return
        matcher = self._filter_policy_matcher
        if matcher is not None and not matcher.matches(message_attributes, message):
            return
        if message_structure == "json":
            message = self._parse_message_structure(message, "lambda")
        notification = Notification(
            self.arn, self.topic.arn, message, message_id, subject, message_attributes or {},
            dt.datetime.now(dt.UTC),
        )  # fmt: skip
        deliver(self.endpoint, sns_event(notification), "sns.amazonaws.com", self.topic.arn)

    Subscription.publish = publish_to_function  # type: ignore[method-assign] # the gap

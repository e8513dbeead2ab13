"""Where moto's services fall short of what Terraform and the data planes need: one place, applied once at start.

Each gap names what AWS does and the page that says so. Nothing here copies moto's code; it replaces or wraps.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.core.config import default_user_config
from moto.core.exceptions import JsonRESTError
from moto.sns.models import Subscription

Deliver = Callable[[str, dict[str, object], str, str], None]


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
    region = notification.topic_arn.split(":")[3]
    host = f"https://sns.{region}.amazonaws.com"
    unsubscribe = f"{host}/?Action=Unsubscribe&SubscriptionArn={notification.subscription_arn}"
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": notification.subscription_arn,
                "Sns": {
                    "Type": "Notification",
                    "MessageId": notification.message_id,
                    "TopicArn": notification.topic_arn,
                    "Subject": notification.subject,
                    "Message": notification.message,
                    "Timestamp": notification.now.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
                    "SignatureVersion": "1",
                    "Signature": "the-sandbox-does-not-sign",
                    "SigningCertUrl": f"{host}/SimpleNotificationService-sandbox.pem",
                    "UnsubscribeUrl": unsubscribe,
                    "MessageAttributes": {
                        name: {"Type": str(a.get("Type", "String")), "Value": a.get("Value")}
                        for name, a in notification.attributes.items()
                    },
                },
            }
        ]
    }


def not_emulated(what: str) -> JsonRESTError:
    """The named error of everything that the sandbox leaves out."""
    error = JsonRESTError("NotEmulatedBySandbox", f"terralive's sandbox does not emulate {what}.")
    error.code = 501
    return error


def apply(deliver: Deliver) -> None:
    """Close the gaps. `deliver(function_arn, event, service, source_arn)` invokes asynchronously, at once."""
    _topics_invoke_functions(deliver)
    _other_triggers_say_that_they_are_missing()


def configure() -> None:
    """Before any of moto's state exists: AWS's own managed policies can be attached (moto leaves them out)."""
    default_user_config.setdefault("iam", {})["load_aws_managed_policies"] = True


def _topics_invoke_functions(deliver: Deliver) -> None:
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


def _other_triggers_say_that_they_are_missing() -> None:
    """For these moto would start Docker; a mapping that silently never fires would be a made-up success."""

    def refuse(what: str) -> Callable[..., None]:
        def refused(*args: object, **kwargs: object) -> None:
            del args, kwargs
            raise not_emulated(what)

        return refused

    LambdaBackend.create_event_source_mapping = refuse("event source mappings")  # type: ignore[assignment,method-assign] # the gap
    LambdaFunction.invoke = refuse("this trigger of a Lambda function")  # type: ignore[assignment,method-assign] # the gap

"""Where moto's services fall short of what Terraform and the data planes need: one place, applied once at start.

Each gap names what AWS does and the page that says so. Nothing here copies moto's code; it replaces or wraps.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from moto.apigatewayv2 import urls as apigatewayv2_urls
from moto.apigatewayv2.models import ApiGatewayV2Backend, Stage
from moto.apigatewayv2.responses import ApiGatewayV2Response
from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.core.config import default_user_config
from moto.core.exceptions import JsonRESTError
from moto.core.utils import iso_8601_datetime_with_nanoseconds
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
    _functions_take_every_update()
    _stages_can_be_changed()
    _stages_can_be_tagged()


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


def _functions_take_every_update() -> None:
    """What moto drops: https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html."""
    update_configuration = LambdaFunction.update_configuration
    update_code = LambdaFunction.update_function_code

    def configuration(self: LambdaFunction, config_updates: dict[str, Any]) -> dict[str, Any]:
        if "Environment" in config_updates:
            config_updates["Environment"] = {"Variables": {}, **(config_updates["Environment"] or {})}
        if "TracingConfig" in config_updates:
            self.tracing_config = config_updates["TracingConfig"]
        if "EphemeralStorage" in config_updates:
            self.ephemeral_storage = config_updates["EphemeralStorage"]["Size"]
        if "KMSKeyArn" in config_updates:
            self.kms_key_arn = config_updates["KMSKeyArn"]
        self.last_modified = iso_8601_datetime_with_nanoseconds()
        return update_configuration(self, config_updates)

    def function_code(self: LambdaFunction, updated_spec: dict[str, Any]) -> dict[str, Any]:
        if updated_spec.get("Architectures"):
            self.architectures = updated_spec["Architectures"]
        self.last_modified = iso_8601_datetime_with_nanoseconds()
        return update_code(self, updated_spec)

    LambdaFunction.update_configuration = configuration  # type: ignore[method-assign] # the gap
    LambdaFunction.update_function_code = function_code  # type: ignore[method-assign] # the gap


def _stages_can_be_changed() -> None:
    """https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-stages-stagename.html (PATCH)."""
    fields = {
        "accessLogSettings": "access_log_settings",
        "autoDeploy": "auto_deploy",
        "clientCertificateId": "client_certificate_id",
        "defaultRouteSettings": "default_route_settings",
        "description": "description",
        "routeSettings": "route_settings",
    }

    def update_stage(self: ApiGatewayV2Response) -> tuple[int, dict[str, str], str]:
        api, _, name = self.path.split("/")[-3:]
        stage = self.apigatewayv2_backend.get_stage(api, unquote(name))
        changes = json.loads(self.body)
        for key, attribute in fields.items():
            if key in changes:
                setattr(stage, attribute, changes[key])
        # an empty value removes a variable
        variables = {**stage.stage_variables, **changes.get("stageVariables", {})}
        stage.stage_variables = {key: value for key, value in variables.items() if value}
        return 200, {}, json.dumps(stage.to_json())

    ApiGatewayV2Response.update_stage = update_stage  # type: ignore[attr-defined] # the gap


def _stages_can_be_tagged() -> None:
    """Not only APIs have tags: https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/tags-resource-arn.html."""
    path = "{0}/v2/tags/(?P<arn>[^/]+)/apis/(?P<api_id>[^/]+)/stages/(?P<stage_name>[^/]+)$"
    apigatewayv2_urls.url_paths[path] = ApiGatewayV2Response.dispatch
    tag, untag, get = (
        ApiGatewayV2Backend.tag_resource,
        ApiGatewayV2Backend.untag_resource,
        ApiGatewayV2Backend.get_tags,
    )

    def stage_of(backend: ApiGatewayV2Backend, arn: str) -> Stage | None:
        found = re.search(r"/apis/([^/]+)/stages/([^/]+)$", arn)
        return backend.get_stage(found[1], found[2]) if found else None

    def tag_resource(self: ApiGatewayV2Backend, resource_arn: str, tags: dict[str, str]) -> None:
        stage = stage_of(self, resource_arn)
        if stage is None:
            tag(self, resource_arn, tags)
        else:
            stage.tags = {**stage.tags, **tags}

    def untag_resource(self: ApiGatewayV2Backend, resource_arn: str, tag_keys: list[str]) -> None:
        stage = stage_of(self, resource_arn)
        if stage is None:
            untag(self, resource_arn, tag_keys)
        else:
            stage.tags = {key: value for key, value in stage.tags.items() if key not in tag_keys}

    def get_tags(self: ApiGatewayV2Backend, resource_id: str) -> dict[str, str]:
        stage = stage_of(self, resource_id)
        return get(self, resource_id) if stage is None else stage.tags

    ApiGatewayV2Backend.tag_resource = tag_resource  # type: ignore[method-assign] # the gap
    ApiGatewayV2Backend.untag_resource = untag_resource  # type: ignore[method-assign] # the gap
    ApiGatewayV2Backend.get_tags = get_tags  # type: ignore[method-assign] # the gap

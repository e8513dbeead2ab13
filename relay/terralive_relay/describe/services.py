"""Describes events of services that send one thing at a time, by the fields that they have.

AWS documents the shape of each service's events, and hardly any event names its service. The order
counts: a shape with more fields comes before one that has some of them.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from terralive_relay.describe.values import as_text, at, counted, joined, name_of, resource_of
from terralive_stub.shared.json_documents import Json, as_object, items, section, text

# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-statemachines.html
_EXECUTION: Final = re.compile(r"arn:[\w-]+:states:[\w-]*:\d*:(?:execution|express):([^:]+):")


@dataclass(frozen=True, slots=True)
class _Shape:
    """The events of one service.

    Attributes:
        trigger: the service.
        fields: fields that all of its events have, at their top.
        words: paths of the values that are shown (`detail.name`). Of an ARN, the name is shown.
        page: the page of AWS that documents them.
    """

    trigger: str
    fields: tuple[str, ...]
    words: tuple[str, ...]
    page: str

    def fits(self, document: Mapping[str, Json]) -> bool:
        """Tell whether an event has all fields of the shape."""
        first = self.fields[0]
        if first.partition(".")[0] not in document and first not in document:
            return False  # most events end here, and cost little
        return all(_has(document, path) for path in self.fields)


_LAMBDA: Final = "https://docs.aws.amazon.com/lambda/latest/dg/"
_SHAPES: Final = (
    _Shape(
        "cognito",
        ("triggerSource", "userPoolId"),
        ("triggerSource", "userPoolId"),
        "https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-working-with-lambda-triggers.html",
    ),
    _Shape(
        "cognitosync",
        ("datasetName", "identityPoolId"),
        ("datasetName",),
        "https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-events.html",
    ),
    _Shape(
        "cloudformation",
        ("RequestType", "StackId", "ResourceType"),
        ("RequestType", "ResourceType", "LogicalResourceId"),
        _LAMBDA + "services-cloudformation.html",
    ),
    _Shape(
        "alarm",
        ("alarmArn", "alarmData"),
        ("alarmData.alarmName", "alarmData.state.value"),
        "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html",
    ),
    _Shape(
        "codepipeline",
        ("CodePipeline.job",),
        (),
        _LAMBDA + "services-codepipeline.html",
    ),
    _Shape(
        "config",
        ("invokingEvent", "configRuleName"),
        ("configRuleName",),
        _LAMBDA + "services-config.html",
    ),
    _Shape(
        "secretsmanager",
        ("SecretId", "ClientRequestToken", "Step"),
        ("Step", "SecretId"),
        "https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html",
    ),
    _Shape(
        "s3objectlambda",
        ("getObjectContext", "configuration"),
        ("configuration.accessPointArn",),
        "https://docs.aws.amazon.com/AmazonS3/latest/userguide/olap-event-context.html",
    ),
    _Shape(
        "s3objectlambda",
        ("xAmzRequestId", "userRequest", "configuration"),
        ("configuration.accessPointArn",),
        "https://docs.aws.amazon.com/AmazonS3/latest/userguide/olap-event-context.html",
    ),
    _Shape(
        "connect",
        ("Name", "Details.ContactData"),
        ("Name", "Details.ContactData.Channel"),
        "https://docs.aws.amazon.com/connect/latest/adminguide/connect-lambda-functions.html",
    ),
    _Shape(
        "lex",
        ("sessionState", "bot"),
        ("bot.name", "sessionState.intent.name"),
        "https://docs.aws.amazon.com/lexv2/latest/dg/lambda-input-format.html",
    ),
    _Shape(
        "lex",
        ("currentIntent", "bot"),
        ("bot.name", "currentIntent.name"),
        "https://docs.aws.amazon.com/lex/latest/dg/lambda-input-response-format.html",
    ),
    _Shape(
        "bedrock",
        ("messageVersion", "agent", "actionGroup"),
        ("agent.name", "actionGroup", "httpMethod", "apiPath", "function"),
        "https://docs.aws.amazon.com/bedrock/latest/userguide/agents-lambda.html",
    ),
    _Shape(
        "alexa",
        ("directive.header",),
        ("directive.header.namespace", "directive.header.name"),
        "https://developer.amazon.com/docs/smarthome/smart-home-skill-api-message-reference.html",
    ),
    _Shape(
        "alexa",
        ("version", "context.System", "request.type"),
        ("request.type", "request.intent.name"),
        _LAMBDA + "services-alexa.html",
    ),
    _Shape(
        "iot",
        ("serialNumber", "clickType", "batteryVoltage"),
        ("clickType", "serialNumber"),
        _LAMBDA + "services-iot.html",
    ),
    _Shape(
        "iot",
        ("deviceInfo", "deviceEvent"),
        ("deviceEvent.buttonClicked.clickType", "deviceInfo.deviceId"),
        "https://docs.aws.amazon.com/iot-1-click/latest/developerguide/1click-events.html",
    ),
    _Shape(
        "iotevents",
        ("event.eventName", "event.payload"),
        ("event.eventName", "event.payload.detector.detectorModelName"),
        _LAMBDA + "services-iotevents.html",
    ),
    _Shape(
        "transfer",
        ("serverId", "protocol", "sourceIp"),
        ("protocol", "serverId"),
        "https://docs.aws.amazon.com/transfer/latest/userguide/custom-lambda-idp.html",
    ),
    _Shape(
        "transfer",
        ("serviceMetadata", "fileLocation"),
        ("serviceMetadata.executionDetails.workflowId",),
        "https://docs.aws.amazon.com/transfer/latest/userguide/custom-step-details.html",
    ),
    _Shape(
        "redshift",
        ("external_function", "query_id", "arguments"),
        ("database", "external_function"),
        "https://docs.aws.amazon.com/redshift/latest/dg/udf-creating-a-lambda-sql-udf.html",
    ),
    _Shape(
        "pinpoint",
        ("ApplicationId", "CampaignId", "Endpoints"),
        ("CampaignId",),
        "https://docs.aws.amazon.com/pinpoint/latest/developerguide/segments-dynamic.html",
    ),
    _Shape(
        "workmail",
        ("summaryVersion", "envelope", "flowDirection"),
        ("flowDirection",),
        "https://docs.aws.amazon.com/workmail/latest/adminguide/lambda.html",
    ),
    _Shape(
        "destination",
        ("requestContext.functionArn", "requestContext.condition", "requestPayload"),
        ("requestContext.functionArn", "requestContext.condition"),
        _LAMBDA + "invocation-async-retain-records.html",
    ),
)


def service(document: Mapping[str, Json]) -> tuple[str, str] | None:
    """Return the trigger and summary of an event of one service; None if it is of no known one."""
    if "detail-type" in document and "source" in document:
        return _eventbridge(document)
    if "info" in document:
        found = _appsync(document)
        if found is not None:
            return found
    for shape in _SHAPES:
        if shape.fits(document):
            return shape.trigger, joined(_word(at(document, path)) for path in shape.words)
    return _step_functions(document)


def resolvers(elements: Sequence[Json]) -> tuple[str, str] | None:
    """Return the trigger and summary of a list of questions that AppSync asks at once.

    https://docs.aws.amazon.com/appsync/latest/devguide/tutorial-lambda-resolvers.html
    """
    if not elements:
        return None
    found = _appsync(as_object(elements[0]))
    if found is None:
        return None
    trigger, field = found
    return trigger, joined((field, counted(len(elements), "item")), ", ")


def _has(document: Mapping[str, Json], path: str) -> bool:
    if path in document:  # `CodePipeline.job` is one name
        return True
    *sections, name = path.split(".")
    part = document
    for item in sections:
        part = as_object(part.get(item))
    return name in part


def _word(value: str) -> str:
    """Return a value as it is shown: an ARN by its name."""
    if value.startswith("arn:"):
        return name_of(value.removesuffix(":$LATEST"))
    return value


def _eventbridge(document: Mapping[str, Json]) -> tuple[str, str]:
    """Rules and schedules of EventBridge. Their events name the rule or the schedule only.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html,
    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-templated.html
    """
    detail_type, source = as_text(document["detail-type"]), as_text(document["source"])
    if detail_type == "Scheduled Event" and source in {"aws.events", "aws.scheduler"}:
        rule = ""
        resources = items(document, "resources")
        if resources:
            # `rule/NAME`, `rule/BUS/NAME` or `schedule/GROUP/NAME`
            rule = resource_of(resources[0]).rpartition("/")[2]
        return "schedule", rule
    return "eventbridge", joined((detail_type, source), " from ")


def _appsync(document: Mapping[str, Json]) -> tuple[str, str] | None:
    """Resolvers of GraphQL APIs, and handlers of Event APIs.

    https://docs.aws.amazon.com/appsync/latest/devguide/resolver-context-reference-js.html,
    https://docs.aws.amazon.com/appsync/latest/eventapi/writing-event-handlers.html
    """
    info = section(document, "info")
    if "fieldName" in info and "parentTypeName" in info:
        return "appsync", joined((info["parentTypeName"], info["fieldName"]), ".")
    channel = at(info, "channel.path")
    if channel and "operation" in info:
        events = items(document, "events")
        words = [joined((info["operation"], channel))]
        if len(events) > 1:
            words.append(counted(len(events), "event"))
        return "appsync", joined(words, ", ")
    return None


def _step_functions(document: Mapping[str, Json]) -> tuple[str, str] | None:
    """A task of a state machine that passes a part of its context on.

    The input of a task is the team's own. Only the context object and a task token tell that a
    state machine invokes: https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html
    """
    for name, value in document.items():
        context = as_object(value)
        for arn in (at(document, name), at(context, "Execution.Id"), text(context, "Id")):
            machine = _machine(arn)
            if machine:
                return "states", joined((machine, at(context, "State.Name")))
        if name.lower().replace("_", "") == "tasktoken" and isinstance(value, str):
            return "states", "task token"
    return None


def _machine(arn: str) -> str:
    """Return the state machine in the ARN of an execution; "" for anything else."""
    found = _EXECUTION.match(arn)
    if found is None:
        return ""
    return found[1]

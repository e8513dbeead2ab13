"""Every trigger with an event that AWS documents is named with its essentials."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from terralive_relay.describe.events import describe_event
from terralive_relay.describe.results import describe_prelude, describe_result
from terralive_stub.protocol.invocation import Outcome

_QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
_TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders/stream/2026-01-01T00:00:00.000"
_RUN = "arn:aws:states:eu-west-1:123456789012:execution:checkout:run-1"


def records(source: str, count: int = 1, **fields: object) -> dict[str, object]:
    return {"Records": [{"eventSource": source, **fields}] * count}


def logs(group: str) -> str:
    document = {"messageType": "DATA_MESSAGE", "logGroup": group, "logEvents": [{"message": "x"}]}
    return base64.b64encode(gzip.compress(json.dumps(document).encode())).decode()


EVENTS: list[tuple[object, str, str]] = [
    # Requests
    (
        {
            "version": "2.0",
            "rawQueryString": "page=2&sort=asc",
            "requestContext": {"http": {"method": "GET", "path": "/orders"}},
        },
        "http",
        "GET /orders?page=2&sort=asc",
    ),
    (
        {
            "httpMethod": "GET",
            "path": "/orders",
            "multiValueQueryStringParameters": {"tag": ["a b", "c"]},
            "queryStringParameters": {"tag": "c"},
        },
        "http",
        "GET /orders?tag=a%20b&tag=c",
    ),
    (
        {
            "requestContext": {"elb": {"targetGroupArn": "arn"}},
            "httpMethod": "POST",
            "path": "/",
            "queryStringParameters": {"q": "a%20b", "empty": ""},
        },
        "http",
        "POST /?q=a%20b&empty",
    ),
    ({"raw_path": "/a?b=1", "method": "PUT", "headers": {}}, "lattice", "PUT /a?b=1"),
    (
        {
            "version": "2.0",
            "path": "/a",
            "method": "GET",
            "queryStringParameters": {"b": ["1"]},
            "requestContext": {"serviceNetworkArn": "arn"},
        },
        "lattice",
        "GET /a?b=1",
    ),
    ({"requestContext": {"connectionId": "c", "routeKey": "$connect"}}, "websocket", "$connect"),
    (
        {
            "authorizationToken": "secret",
            "requestContext": {"queryString": "{ a }", "operationName": "ListOrders"},
        },
        "authorizer",
        "AppSync ListOrders",
    ),
    # Batches
    (records("aws:sqs", 10, eventSourceARN=_QUEUE), "sqs", "orders, 10 messages"),
    (
        {"Records": [{"EventSource": "aws:sns", "Sns": {"TopicArn": "arn:aws:sns:r:1:mails"}}]},
        "sns",
        "mails",
    ),
    (
        records(
            "aws:s3",
            2,
            eventName="ObjectCreated:Put",
            s3={"bucket": {"name": "photos"}, "object": {"key": "a+b/%C3%84.jpg"}},
        ),
        "s3",
        "ObjectCreated:Put photos/a b/Ä.jpg, 2 records",
    ),
    (
        {
            "Records": [
                {"eventSource": "aws:dynamodb", "eventSourceARN": _TABLE, "eventName": kind}
                for kind in ("INSERT", "INSERT", "REMOVE")
            ]
        },
        "dynamodb",
        "Orders, 3 records, 2 INSERT, 1 REMOVE",
    ),
    (
        records("aws:kinesis", 4, eventSourceARN="arn:aws:kinesis:r:1:stream/clicks"),
        "kinesis",
        "clicks, 4 records",
    ),
    (records("aws:ses", ses={"mail": {}}), "ses", ""),
    (
        records(
            "aws:codecommit",
            eventSourceARN="arn:aws:codecommit:r:1:shop",
            eventTriggerName="on-push",
        ),
        "codecommit",
        "shop, on-push",
    ),
    (
        {
            "Records": [
                {
                    "cf": {
                        "config": {"eventType": "viewer-request"},
                        "request": {"method": "GET", "uri": "/a"},
                    }
                }
            ]
        },
        "cloudfront",
        "viewer-request, GET /a",
    ),
    (
        {"eventSource": "aws:kafka", "records": {"my-orders-0": [{}, {}], "my-orders-1": [{}]}},
        "kafka",
        "my-orders, 3 records",
    ),
    (
        {"eventSource": "SelfManagedKafka", "records": {"a-0": [{}], "b-0": [{}], "c-1": [{}]}},
        "kafka",
        "a, b, …, 3 records",
    ),
    (
        {"eventSource": "aws:mq", "messages": [{"destination": {"physicalName": "orders"}}]},
        "mq",
        "orders, 1 message",
    ),
    (
        {"eventSource": "aws:rmq", "rmqMessagesByQueue": {"orders::/": [{}, {}]}},
        "mq",
        "orders, 2 messages",
    ),
    (
        {
            "eventSource": "aws:docdb",
            "events": [
                {"event": {"ns": {"db": "shop", "coll": "orders"}, "operationType": "insert"}}
            ],
        },
        "documentdb",
        "shop.orders, 1 change, insert",
    ),
    (
        {"deliveryStreamArn": "arn:aws:firehose:r:1:deliverystream/logs", "records": [{}, {}]},
        "firehose",
        "logs, 2 records",
    ),
    (
        {"applicationArn": "arn:aws:kinesisanalytics:r:1:application/rates", "records": [{}]},
        "kinesisanalytics",
        "rates, 1 record",
    ),
    (
        {
            "invocationSchemaVersion": "1.0",
            "tasks": [{"s3Key": "a.jpg", "s3BucketArn": "arn:aws:s3:::photos"}],
        },
        "s3batch",
        "photos/a.jpg",
    ),
    ({"awslogs": {"data": logs("/aws/lambda/api")}}, "logs", "/aws/lambda/api"),
    ({"awslogs": {"data": "no base64!"}}, "logs", ""),
    # EventBridge
    (
        {
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "resources": ["arn:aws:events:eu-west-1:1:rule/nightly"],
        },
        "schedule",
        "nightly",
    ),
    (
        {
            "detail-type": "Scheduled Event",
            "source": "aws.scheduler",
            "resources": ["arn:aws:scheduler:eu-west-1:1:schedule/default/hourly"],
        },
        "schedule",
        "hourly",
    ),
    (
        {"detail-type": "OrderPlaced", "source": "shop.orders", "detail": {}},
        "eventbridge",
        "OrderPlaced from shop.orders",
    ),
    (
        [{"messageId": "1", "eventSource": "aws:sqs", "eventSourceARN": _QUEUE}] * 2,
        "sqs",
        "orders, 2 messages",
    ),
    # Other services
    (
        {"triggerSource": "PreSignUp_SignUp", "userPoolId": "eu-west-1_abc", "request": {}},
        "cognito",
        "PreSignUp_SignUp eu-west-1_abc",
    ),
    (
        {"eventType": "SyncTrigger", "identityPoolId": "p", "datasetName": "settings"},
        "cognitosync",
        "settings",
    ),
    (
        {
            "RequestType": "Create",
            "StackId": "arn",
            "ResourceType": "Custom::Seed",
            "LogicalResourceId": "Seed",
        },
        "cloudformation",
        "Create Custom::Seed Seed",
    ),
    (
        {
            "source": "aws.cloudwatch",
            "alarmArn": "arn",
            "alarmData": {"alarmName": "errors", "state": {"value": "ALARM"}},
        },
        "alarm",
        "errors ALARM",
    ),
    (
        {"CodePipeline.job": {"id": "1"}},
        "codepipeline",
        "",
    ),
    ({"invokingEvent": "{}", "configRuleName": "encrypted"}, "config", "encrypted"),
    (
        {
            "Step": "createSecret",
            "SecretId": "arn:aws:secretsmanager:r:1:secret:db-AbCdEf",
            "ClientRequestToken": "t",
        },
        "secretsmanager",
        "createSecret db-AbCdEf",
    ),
    (
        {
            "getObjectContext": {"outputToken": "secret"},
            "configuration": {"accessPointArn": "arn:aws:s3-object-lambda:r:1:accesspoint/olap"},
        },
        "s3objectlambda",
        "olap",
    ),
    (
        {"Name": "ContactFlowEvent", "Details": {"ContactData": {"Channel": "VOICE"}}},
        "connect",
        "ContactFlowEvent VOICE",
    ),
    (
        {"sessionState": {"intent": {"name": "Order"}}, "bot": {"name": "Shop"}},
        "lex",
        "Shop Order",
    ),
    ({"currentIntent": {"name": "Order"}, "bot": {"name": "Shop"}}, "lex", "Shop Order"),
    (
        {
            "messageVersion": "1.0",
            "agent": {"name": "helper"},
            "actionGroup": "orders",
            "httpMethod": "GET",
            "apiPath": "/orders",
        },
        "bedrock",
        "helper orders GET /orders",
    ),
    (
        {"directive": {"header": {"namespace": "Alexa.PowerController", "name": "TurnOn"}}},
        "alexa",
        "Alexa.PowerController TurnOn",
    ),
    (
        {
            "version": "1.0",
            "context": {"System": {}},
            "request": {"type": "IntentRequest", "intent": {"name": "Order"}},
        },
        "alexa",
        "IntentRequest Order",
    ),
    (
        {"serialNumber": "G03", "clickType": "DOUBLE", "batteryVoltage": "1mV"},
        "iot",
        "DOUBLE G03",
    ),
    (
        {"event": {"eventName": "hot", "payload": {"detector": {"detectorModelName": "oven"}}}},
        "iotevents",
        "hot oven",
    ),
    (
        {"username": "u", "password": "p", "protocol": "SFTP", "serverId": "s-1", "sourceIp": "1"},
        "transfer",
        "SFTP s-1",
    ),
    (
        {"external_function": "public.f", "query_id": 1, "arguments": [], "database": "dev"},
        "redshift",
        "dev public.f",
    ),
    (
        {
            "requestContext": {
                "functionArn": "arn:aws:lambda:r:1:function:orders:$LATEST",
                "condition": "RetriesExhausted",
            },
            "requestPayload": {},
        },
        "destination",
        "orders RetriesExhausted",
    ),
    ({"info": {"parentTypeName": "Query", "fieldName": "order"}}, "appsync", "Query.order"),
    (
        [{"info": {"parentTypeName": "Order", "fieldName": "items"}}] * 3,
        "appsync",
        "Order.items, 3 items",
    ),
    (
        {
            "info": {"channel": {"path": "/chat/room"}, "operation": "PUBLISH"},
            "events": [{"id": "1"}, {"id": "2"}],
        },
        "appsync",
        "PUBLISH /chat/room, 2 events",
    ),
    ({"order": 7, "run": _RUN}, "states", "checkout"),
    ({"context": {"Execution": {"Id": _RUN}, "State": {"Name": "Pay"}}}, "states", "checkout Pay"),
    ({"order": 7, "TaskToken": "secret"}, "states", "task token"),
    ({"order": 7}, "invoke", ""),
    ([1, 2], "invoke", ""),
]


@pytest.mark.parametrize(("event", "trigger", "summary"), EVENTS)
def test_the_trigger_and_its_essentials(event: object, trigger: str, summary: str) -> None:
    description = describe_event(json.dumps(event).encode())

    assert (description.trigger, description.summary) == (trigger, summary)


@pytest.mark.parametrize("name", ["token", "access_token", "X-Amz-Signature", "code", "apikey"])
def test_values_that_are_called_like_secrets_are_not_shown(name: str) -> None:
    event = {
        "rawQueryString": f"page=2&{name}=hush&flag",
        "requestContext": {"http": {"method": "GET", "path": "/"}},
    }
    summary = describe_event(json.dumps(event).encode()).summary

    assert summary == f"GET /?page=2&{name}=…&flag"


BIG = "x" * 1_200_000


@pytest.mark.parametrize(
    ("event", "trigger", "summary"),
    [
        (
            {
                "version": "2.0",
                "requestContext": {"http": {"method": "PUT", "path": "/files"}},
                "body": BIG,
            },
            "http",
            "PUT /files",
        ),
        ({"path": "/files", "httpMethod": "PUT", "headers": {}, "body": BIG}, "http", "PUT /files"),
        (
            {"Records": [{"body": BIG, "eventSource": "aws:sqs", "eventSourceARN": _QUEUE}]},
            "sqs",
            "orders",
        ),
        (
            {
                "Records": [
                    {"dynamodb": BIG, "eventSource": "aws:dynamodb", "eventSourceARN": _TABLE}
                ]
            },
            "dynamodb",
            "Orders",
        ),
        ({"order": BIG}, "invoke", ""),
    ],
)
def test_a_large_event_is_recognised_without_being_parsed(
    event: object, trigger: str, summary: str
) -> None:
    data = json.dumps(event).encode()
    description = describe_event(data)

    assert (description.trigger, description.summary) == (trigger, summary)
    assert description.payload_bytes == len(data)


def payload_of(event: object) -> tuple[str, int]:
    description = describe_event(json.dumps(event).encode())
    return description.payload, description.payload_bytes


def test_a_payload_is_its_names_and_its_size() -> None:
    body = '{"customer": "Ana", "items": [1, 2]}'
    request = {"httpMethod": "POST", "path": "/", "body": body}
    assert payload_of(request) == ("{customer, items}", len(body))
    packed = {**request, "body": base64.b64encode(b"12345").decode(), "isBase64Encoded": True}
    assert payload_of(packed) == ("", 5)
    assert payload_of({"httpMethod": "GET", "path": "/"}) == ("", 0)

    many = dict.fromkeys(("a", "b", "c", "d", "e", "ana@example.com"), 0)
    assert payload_of(many) == ("{a, b, c, d, …}", len(json.dumps(many)))
    assert payload_of([1, 2]) == ("[2 items]", 6)
    assert payload_of("text") == ("", 6)
    queue = records("aws:sqs", eventSourceARN=_QUEUE)
    assert payload_of(queue) == ("", len(json.dumps(queue)))


@pytest.mark.parametrize(
    ("trigger", "body", "status", "failed"),
    [
        ("http", b'{"statusCode": 201, "body": "x"}', 201, 0),
        ("http", b'{"statusCode": "404"}', 404, 0),
        ("http", b'{"statusCode": 7}', None, 0),
        ("http", b'"text"', None, 0),
        ("http", b'{"statusCode": 200, "body": "' + b"x" * 100_000 + b'"}', 200, 0),
        ("http", b'{"body": "' + b"x" * 100_000 + b'", "statusCode": 200}', None, 0),
        ("invoke", b'{"statusCode": 201}', None, 0),
        ("sqs", b'{"batchItemFailures": [{"itemIdentifier": "1"}, {}]}', None, 2),
        ("sqs", b'{"batchItemFailures": []}', None, 0),
        ("sns", b'{"batchItemFailures": [{}]}', None, 0),
    ],
)
def test_a_result_tells_its_status_or_its_failed_items(
    trigger: str, body: bytes, status: int | None, failed: int
) -> None:
    result = describe_result(Outcome(body), trigger)

    assert (result.status, result.failed_items) == (status, failed)


def test_a_streamed_response_may_begin_with_its_status() -> None:
    prelude = b'{"statusCode":201,"headers":{}}' + bytes(8) + b"body"
    assert describe_prelude(prelude, "http") == 201
    assert describe_prelude(prelude, "invoke") is None
    assert describe_prelude(b"body", "http") is None
    assert describe_prelude(b'{"statusCode":999}', "http") is None


def test_an_error_has_no_status() -> None:
    assert describe_result(Outcome(b'{"statusCode": 200}', "Unhandled"), "http").status is None

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from terralive_cli.invoking.event.choice import (
    EventChoice,
    Source,
    checked,
    chosen,
    with_changes,
)
from terralive_cli.invoking.event.templates import TEMPLATES, event_of_template
from terralive_cli.invoking.event.triggers import (
    Function,
    Sources,
    mapped_sources,
    note_of,
    permitted_sources,
    values_for,
)
from terralive_stub.errors import ConfigurationError
from terralive_stub.protocol.named_errors import is_http
from terralive_testing.oracles.samples import assert_same_shape, sample

NOW = datetime(2026, 11, 30, 15, 4, 5, 678000, UTC)
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:shop-api"
FUNCTION = Function(ARN, "arn:aws:iam::123456789012:role/shop")
REQUEST_ID = "2b8a9f0e-1111-4222-8333-944455566677"


def event(template: str, *arns: str, url: str = "") -> Any:  # noqa: ANN401  # JSON
    values = values_for(template, FUNCTION, Sources(arns, url), NOW, REQUEST_ID)
    return event_of_template(template, values)


@pytest.mark.parametrize(
    ("given", "is_file", "choice"),
    [
        ("", False, EventChoice(Source.EMPTY)),
        ("-", False, EventChoice(Source.STANDARD_INPUT)),
        ("@sqs", False, EventChoice(Source.TEMPLATE, "sqs")),
        ("@last", False, EventChoice(Source.LAST)),
        ("event.json", True, EventChoice(Source.FILE, "event.json")),
        ("evnet.json", False, EventChoice(Source.FILE, "evnet.json")),
        (REQUEST_ID, False, EventChoice(Source.REQUEST, REQUEST_ID)),
        ("2b8a9f0e", False, EventChoice(Source.REQUEST, "2b8a9f0e")),
        ("2b8a9f0e", True, EventChoice(Source.FILE, "2b8a9f0e")),
        ("cafe", False, EventChoice(Source.FILE, "cafe")),
    ],
)
def test_an_event_is_a_file_an_example_or_one_that_was_kept(
    given: str, is_file: bool, choice: EventChoice
) -> None:
    assert chosen(given, is_file=is_file) == choice


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_example_is_filled_in_also_where_nothing_is_known(name: str) -> None:
    text = json.dumps(event(name))

    assert "${" not in text
    assert checked(text.encode(), name, asynchronous=True) == text.encode()


SOURCES = {
    "alb": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/shop/73e2d6bc24d8a067",
    "cognito": "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_AbCdEf123",
    "dynamodb": "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.0",
    "kinesis": "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
    "s3": "arn:aws:s3:::shop-uploads",
    "schedule": "arn:aws:events:eu-west-1:123456789012:rule/nightly",
    "sns": "arn:aws:sns:eu-west-1:123456789012:orders",
    "sqs": "arn:aws:sqs:eu-west-1:123456789012:orders",
}
PLACES: dict[str, Callable[[Any], object]] = {
    "alb": lambda found: found["requestContext"]["elb"]["targetGroupArn"],
    "cognito": lambda found: f"{SOURCES['cognito'].rpartition('/')[0]}/{found['userPoolId']}",
    "dynamodb": lambda found: found["Records"][0]["eventSourceARN"],
    "kinesis": lambda found: found["Records"][0]["eventSourceARN"],
    "s3": lambda found: found["Records"][0]["s3"]["bucket"]["arn"],
    "schedule": lambda found: found["resources"][0],
    "sns": lambda found: found["Records"][0]["Sns"]["TopicArn"],
    "sqs": lambda found: found["Records"][0]["eventSourceARN"],
}


@pytest.mark.parametrize("name", SOURCES)
def test_an_example_names_the_source_that_really_invokes_the_function(name: str) -> None:
    found = event(name, *SOURCES.values())

    assert PLACES[name](found) == SOURCES[name]
    assert note_of(name, Sources(tuple(SOURCES.values()))) == ""


def test_a_bucket_is_named_as_itself_and_by_its_arn() -> None:
    bucket = event("s3", SOURCES["s3"])["Records"][0]["s3"]["bucket"]

    assert (bucket["name"], bucket["arn"]) == ("shop-uploads", "arn:aws:s3:::shop-uploads")


def test_the_request_of_an_api_has_the_route_that_may_invoke_the_function() -> None:
    permitted = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3/*/GET/orders/list"

    http = event("http", permitted)
    rest = event("rest", permitted.replace("/*/GET", "/dev/POST"))

    assert http["requestContext"]["apiId"] == "a1b2c3"
    assert http["requestContext"]["domainName"] == "a1b2c3.execute-api.eu-west-1.amazonaws.com"
    assert (http["routeKey"], http["rawPath"]) == ("GET /orders/list", "/orders/list")
    assert http["requestContext"]["stage"] == "$default"
    assert (rest["httpMethod"], rest["path"]) == ("POST", "/orders/list")
    assert rest["requestContext"]["path"] == "/dev/orders/list"


def test_the_request_of_a_whole_api_and_of_a_function_url_has_the_default_route() -> None:
    http = event("http", "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3/*/*")
    url = event("url", url="https://abc123.lambda-url.eu-west-1.on.aws/")

    assert (http["routeKey"], http["rawPath"]) == ("$default", "/")
    assert url["requestContext"]["domainName"] == "abc123.lambda-url.eu-west-1.on.aws"
    assert url["requestContext"]["apiId"] == "abc123"


def test_a_permission_for_several_sources_names_none() -> None:
    everything = Sources(("arn:aws:s3:::*", "arn:aws:execute-api:eu-west-1:123456789012:*/*"))

    assert everything.of_template("s3") == ()
    assert event("s3", "arn:aws:s3:::*")["Records"][0]["s3"]["bucket"]["name"] == "example"
    assert event("http", *everything.arns)["requestContext"]["apiId"] == "example"


@pytest.mark.parametrize("name", ["http", "url", "rest", "alb"])
def test_a_stub_takes_the_examples_of_http_callers_for_such(name: str) -> None:
    assert is_http(json.dumps(event(name)).encode())


@pytest.mark.parametrize(
    ("name", "published", "absent"),
    [
        ("sqs", "sqs-standard", {"Records[].messageAttributes.myAttribute": "optional"}),
        (
            "sns",
            "sns",
            {
                "Records[].Sns.MessageAttributes.Test": "optional",
                "Records[].Sns.MessageAttributes.TestBinary": "optional",
            },
        ),
        ("s3", "s3-object-created-put", {}),
        ("kinesis", "kinesis", {}),
        ("schedule", "eventbridge-scheduled", {}),
        ("websocket", "websocket_message", {}),
    ],
)
def test_an_example_has_the_shape_that_aws_documents(
    name: str, published: str, absent: dict[str, str]
) -> None:
    assert_same_shape(event(name, *SOURCES.values()), sample(published), absent=absent)


def test_the_message_of_the_queue_has_its_own_digest() -> None:
    (message,) = event("sqs")["Records"]

    assert message["md5OfBody"] == hashlib.md5(message["body"].encode()).hexdigest()  # noqa: S324  # SQS's


def test_an_unknown_example_names_those_that_there_are() -> None:
    with pytest.raises(ConfigurationError) as raised:
        event_of_template("sqss", {})

    assert raised.value.reference == "template-unknown"
    assert "@sqs, @url" in raised.value.hint


def test_sources_are_read_from_mappings_and_from_the_policy() -> None:
    policy = {
        "Statement": [
            {"Condition": {"ArnLike": {"AWS:SourceArn": SOURCES["sns"]}}},
            {"Condition": {"StringEquals": {"AWS:SourceAccount": "1"}}},
            {"Condition": {"ArnLike": {"aws:SourceArn": [SOURCES["s3"], SOURCES["sns"]]}}},
            {"Effect": "Allow"},
        ]
    }

    assert permitted_sources(json.dumps(policy)) == (SOURCES["sns"], SOURCES["s3"])
    assert permitted_sources("") == ()
    assert mapped_sources([{"EventSourceArn": SOURCES["sqs"]}, {"UUID": "x"}]) == (SOURCES["sqs"],)


def test_what_is_not_known_is_said_and_so_are_other_sources() -> None:
    both = Sources((SOURCES["sqs"], f"{SOURCES['sqs']}-2"))

    assert note_of("sqs", Sources()) == (
        "No queue that invokes the function is known: the event has example names."
    )
    api = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3"
    assert "--set rawPath=" in note_of("http", Sources((f"{api}/*/*",)))
    assert note_of("http", Sources((f"{api}/*/GET/orders",))) == ""
    assert note_of("sqs", both).endswith(f"is also invoked by: {SOURCES['sqs']}-2")
    assert note_of("url", Sources()).startswith("The function has no function URL")
    assert note_of("eventbridge", Sources()) == ""


@pytest.mark.parametrize(
    ("content", "asynchronous", "reference", "said"),
    [
        (b"\xff\xfe", False, "event-not-json", "byte 0"),
        (b"  \n", False, "event-not-json", "is empty"),
        (b'{"a": 1,\n "b" 2}', False, "event-not-json", "line 2, column 6"),
        (b'{"a": NaN}', False, "event-not-json", "NaN"),
        (b"[" * 100_000, False, "event-not-json", "cannot be read as JSON"),
        (b'"' + b"x" * (6 * 1024 * 1024) + b'"', False, "event-too-large", "at most 6 MB"),
        (b'"' + b"x" * (1024 * 1024) + b'"', True, "event-too-large", "at most 1 MB of an asynch"),
    ],
    ids=["binary", "empty", "invalid", "nan", "deep", "large", "large-async"],
)
def test_an_event_that_lambda_does_not_take_is_refused_with_its_place(
    content: bytes, asynchronous: bool, reference: str, said: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        checked(content, "event.json", asynchronous=asynchronous)

    assert raised.value.reference == reference
    assert "event.json" in raised.value.message
    assert said in raised.value.message


def test_an_event_stays_as_it_was_written_but_for_a_byte_order_mark() -> None:
    assert checked(b'\xef\xbb\xbf{"a":  "\xc3\xa4"}\n', "x", asynchronous=False) == (
        b'{"a":  "\xc3\xa4"}\n'
    )


def test_values_are_changed_also_in_bodies_that_are_json_themselves() -> None:
    found: Any = with_changes(
        event("sqs"),
        ["Records.0.body.id=7", "Records.0.body.customer.name=Ana", "Records.0.awsRegion=here"],
    )

    (message,) = found["Records"]
    assert json.loads(message["body"]) == {"id": 7, "customer": {"name": "Ana"}}
    assert message["awsRegion"] == "here"


def test_a_body_is_made_where_there_is_none_and_other_fields_are_made_too() -> None:
    assert with_changes({"body": None}, ["body.id=7"]) == {"body": '{"id": 7}'}
    assert with_changes({}, ["a.b=[1]", "c=x=y"]) == {"a": {"b": [1]}, "c": "x=y"}
    assert with_changes({"a": "text"}, ["a=true"]) == {"a": True}


@pytest.mark.parametrize(
    "change",
    [
        *("id", "=7", "Records.5.body=x", "Records.x=1", "a.b=1", "Records.-1=x"),
        # Digits for Python, and no numbers.
        *("Records.\u00b2=1", "Records.\u0660=1", f"Records.{'9' * 5000}=1"),
    ],
)
def test_a_change_that_is_not_possible_is_refused(change: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        with_changes({"Records": [{}], "a": "no json"}, [change])

    assert raised.value.reference == "change-not-possible"

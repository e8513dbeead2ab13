"""Settings and input templates of pipes."""

from __future__ import annotations

import pytest

from terralive_sandbox.triggers.event_source_mappings.settings import SourceKind
from terralive_sandbox.triggers.pipes.settings import PipeSettings, settings_of
from terralive_sandbox.triggers.pipes.templates import filled
from terralive_stub.shared.json_documents import Json

PIPE = "arn:aws:pipes:eu-west-1:123456789012:pipe/orders"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
RECORD: Json = {
    "messageId": "m1",
    "body": '{"id": 7, "lines": ["a \\"b\\"", "c"]}',
    "attributes": {"SenderId": "s"},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("<$.messageId>", '"m1"'),
        ('{"id": <$.body.id>}', '{"id": 7}'),
        ('{"first": <$.body.lines[0]>}', '{"first": "a \\"b\\""}'),
        ('{"text": "order <$.body.id> of <$.attributes.SenderId>"}', '{"text": "order 7 of s"}'),
        ('{"text": "<$.body.lines[0]>"}', '{"text": "a \\"b\\""}'),
        ('{"none": <$.body.missing>, "far": <$.body.lines[9]>}', '{"none": "", "far": ""}'),
        ("<$['messageId']>", '"m1"'),
        ('{"pipe": <aws.pipes.pipe-name>}', '{"pipe": "orders"}'),
        ("<aws.pipes.event.json>", None),
        ("a < b", "a < b"),
    ],
)
def test_a_template_is_filled_with_the_values_of_a_record(template: str, text: str | None) -> None:
    made = filled(template, RECORD, {"aws.pipes.pipe-name": "orders"})
    if text is None:
        assert made.startswith('{"messageId": "m1", "body"')
    else:
        assert made == text


def test_the_settings_of_a_pipe_from_a_queue() -> None:
    described: dict[str, Json] = {
        "Name": "orders",
        "Source": QUEUE,
        "SourceParameters": {
            "SqsQueueParameters": {"BatchSize": 3, "MaximumBatchingWindowInSeconds": 2},
            "FilterCriteria": {"Filters": [{"Pattern": '{"body": {"id": [7]}}'}]},
        },
        "Enrichment": FUNCTION,
        "EnrichmentParameters": {"InputTemplate": "<$.body>"},
        "Target": FUNCTION,
        "TargetParameters": {"LambdaFunctionParameters": {"InvocationType": "FIRE_AND_FORGET"}},
        "RoleArn": "arn:aws:iam::123456789012:role/pipes",
        "DesiredState": "RUNNING",
    }
    pipe = settings_of(PIPE, described, SourceKind.QUEUE, shard="", start=0)
    assert pipe == PipeSettings(
        uuid=PIPE,
        function_arn=PIPE,
        source_arn=QUEUE,
        kind=SourceKind.QUEUE,
        enabled=True,
        batch_size=3,
        window=2,
        filters=pipe.filters,
        reports_failures=True,
        name="orders",
        role="arn:aws:iam::123456789012:role/pipes",
        target=FUNCTION,
        enrichment=FUNCTION,
        enrichment_template="<$.body>",
        is_asynchronous=True,
    )
    assert pipe.filters.passes({"body": '{"id": 7}'})
    assert not pipe.filters.passes({"body": '{"id": 8}'})


def test_the_settings_of_a_stopped_pipe_from_a_stream() -> None:
    described: dict[str, Json] = {
        "Source": "arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
        "SourceParameters": {
            "KinesisStreamParameters": {
                "MaximumRetryAttempts": 2,
                "MaximumRecordAgeInSeconds": -1,
                "OnPartialBatchItemFailure": "AUTOMATIC_BISECT",
            }
        },
        "Target": FUNCTION,
        "DesiredState": "STOPPED",
    }
    pipe = settings_of(PIPE, described, SourceKind.KINESIS, shard="shard-1", start=4)
    assert (pipe.enabled, pipe.batch_size, pipe.shard, pipe.start) == (False, 100, "shard-1", 4)
    assert (pipe.maximum_retries, pipe.maximum_age, pipe.bisects) == (2, None, True)

"""Kinesis streams invoke functions, shard by shard.

https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.event_sources import batches, mapping
from terralive_testing.deployers.sandbox import Aws, running_sandbox, unique
from terralive_testing.machine.waiting import eventually
from terralive_testing.oracles.samples import assert_same_shape, sample

READ = {
    "Effect": "Allow",
    "Action": [
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:DescribeStream",
        "kinesis:ListShards",
    ],
    "Resource": "*",
}
# Fails for a batch with a record "fail", and reports the records that begin with "report".
READER = """
import base64, json
def handler(event, context):
    print(json.dumps({"arn": context.invoked_function_arn, "event": event}))
    told = {r["kinesis"]["sequenceNumber"]: base64.b64decode(r["kinesis"]["data"]).decode()
            for r in event["Records"]}
    if "fail" in told.values():
        raise RuntimeError("told to fail")
    return {"batchItemFailures": [{"itemIdentifier": number} for number, text in told.items()
                                  if text.startswith("report")]}
"""


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


class Stream:
    """A stream of its own."""

    def __init__(self, aws: Aws, shards: int = 1) -> None:
        self._client: Any = aws._client("kinesis")
        self.name = unique("stream")
        self._client.create_stream(StreamName=self.name, ShardCount=shards)
        place = f"{aws.info.region}:{aws.info.account_id}"
        self.arn = f"arn:aws:kinesis:{place}:stream/{self.name}"

    def put(self, *texts: str, key: str = "1") -> None:
        self._client.put_records(
            StreamName=self.name,
            Records=[{"Data": text.encode(), "PartitionKey": key} for text in texts],
        )

    def reshard(self, count: int) -> None:
        self._client.update_shard_count(
            StreamName=self.name, TargetShardCount=count, ScalingType="UNIFORM_SCALING"
        )


def reader(aws: Aws) -> str:
    return aws.function(READER, statements=[READ], timeout=10)


def texts(records: Sequence[dict[str, Any]]) -> list[str]:
    return [base64.b64decode(record["kinesis"]["data"]).decode() for record in records]


def got(aws: Aws, function: str) -> list[list[str]]:
    return [texts(records) for records in batches(aws, function)]


def all_of(aws: Aws, function: str) -> list[str]:
    return [text for batch in got(aws, function) for text in batch]


def test_records_reach_the_function_as_documented_and_in_order(aws: Aws) -> None:
    function, stream = reader(aws), Stream(aws)
    stream.put("one", "two", "thr\u00e9e")
    settings: dict[str, Any] = {"StartingPosition": "TRIM_HORIZON", "BatchSize": 2}
    with mapping(aws, function, stream.arn, **settings) as uuid:
        eventually(lambda: len(got(aws, function)) == 2)
        stream.put("four")
        eventually(lambda: got(aws, function)[2:] == [["four"]])
        described = aws.lambda_.get_event_source_mapping(UUID=uuid)
        assert (described["StartingPosition"], described["BatchSize"]) == ("TRIM_HORIZON", 2)
        assert described["LastProcessingResult"] == "OK"
    assert got(aws, function)[:2] == [["one", "two"], ["thr\u00e9e"]]
    records = [record for batch in batches(aws, function) for record in batch]
    assert_same_shape({"Records": records}, sample("kinesis"))
    role = aws.lambda_.get_function_configuration(FunctionName=function)["Role"]
    first = records[0]
    assert (first["eventSourceARN"], first["invokeIdentityArn"]) == (stream.arn, role)
    assert first["eventID"] == f"shardId-000000000000:{first['kinesis']['sequenceNumber']}"
    numbers = [int(record["kinesis"]["sequenceNumber"]) for record in records]
    assert numbers == sorted(numbers)


def test_a_mapping_starts_with_new_records_or_at_a_time(aws: Aws) -> None:
    latest, since, stream = reader(aws), reader(aws), Stream(aws)
    stream.put("old")
    time.sleep(0.02)
    moment = time.time()
    stream.put("newer")
    at_timestamp: dict[str, Any] = {
        "StartingPosition": "AT_TIMESTAMP",
        "StartingPositionTimestamp": moment,
    }
    with (
        mapping(aws, latest, stream.arn, StartingPosition="LATEST"),
        mapping(aws, since, stream.arn, **at_timestamp),
    ):
        stream.put("newest")
        eventually(lambda: all_of(aws, latest) == ["newest"])
        eventually(lambda: all_of(aws, since) == ["newer", "newest"])


def test_each_shard_is_read_in_order_and_none_waits_for_another(aws: Aws) -> None:
    function, stream = reader(aws), Stream(aws, shards=2)
    # The MD5 digest of a partition key decides about its shard.
    stream.put("fail", "after it", key="a")
    stream.put("b1", "b2", key="b")
    by_shard = {"a": "shardId-000000000000", "b": "shardId-000000000001"}
    settings: dict[str, Any] = {"StartingPosition": "TRIM_HORIZON", "BatchSize": 1}
    with mapping(aws, function, stream.arn, **settings):
        # The shards are read at once: neither is known to be read first.
        eventually(lambda: ["fail"] in got(aws, function))
        eventually(lambda: ["b2"] in got(aws, function))
        assert ["after it"] not in got(aws, function)
        with pytest.raises(ClientError, match=r"NotEmulatedBySandbox.*resharding"):
            stream.reshard(4)
    shards = {
        record["kinesis"]["partitionKey"]: record["eventID"].partition(":")[0]
        for batch in batches(aws, function)
        for record in batch
    }
    assert shards == by_shard

    def resharded() -> bool:
        try:
            stream.reshard(4)
        except ClientError:
            return False
        return True

    # Once no function reads it.
    eventually(resharded)


def test_a_failed_batch_is_split_retried_and_given_up(tmp_path_factory: Any) -> None:  # noqa: ANN401
    with running_sandbox(tmp_path_factory.mktemp("hasty"), time_scale=0.01) as info:
        aws = Aws(info)
        function, stream = reader(aws), Stream(aws)
        stream.put("one", "fail", "two", "three")
        settings: dict[str, Any] = {
            "StartingPosition": "TRIM_HORIZON",
            "BisectBatchOnFunctionError": True,
            "MaximumRetryAttempts": 1,
        }
        with mapping(aws, function, stream.arn, **settings):
            eventually(lambda: ["two", "three"] in got(aws, function))
        assert got(aws, function) == [
            ["one", "fail", "two", "three"],
            ["one", "fail"],
            ["one"],
            ["fail"],
            ["fail"],
            ["two", "three"],
        ]


def test_only_records_from_the_reported_one_on_come_again(tmp_path_factory: Any) -> None:  # noqa: ANN401
    with running_sandbox(tmp_path_factory.mktemp("hasty"), time_scale=0.01) as info:
        aws = Aws(info)
        function, stream = reader(aws), Stream(aws)
        stream.put("one", "report", "two")
        settings: dict[str, Any] = {
            "StartingPosition": "TRIM_HORIZON",
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "MaximumRetryAttempts": 1,
        }
        with mapping(aws, function, stream.arn, **settings):
            stream.put("last", key="2")
            eventually(lambda: any("last" in batch for batch in got(aws, function)))
            eventually(lambda: len(got(aws, function)) >= 2)
        assert got(aws, function)[:2] == [["one", "report", "two"], ["report", "two"]]


def test_filters_see_the_data_and_the_partition_key(aws: Aws) -> None:
    function, stream = reader(aws), Stream(aws)
    patterns = [{"data": {"kind": ["order"]}}, {"partitionKey": ["vip"]}]
    filters = {"Filters": [{"Pattern": json.dumps(pattern)} for pattern in patterns]}
    settings: dict[str, Any] = {"StartingPosition": "TRIM_HORIZON", "FilterCriteria": filters}
    stream.put('{"kind": "other"}', "no JSON", '{"kind": "order"}')
    stream.put("any", key="vip")
    with mapping(aws, function, stream.arn, **settings):
        eventually(lambda: all_of(aws, function) == ['{"kind": "order"}', "any"])


def test_what_lambda_refuses(aws: Aws) -> None:
    stream = Stream(aws)
    unable = aws.function(READER)
    with pytest.raises(ClientError, match=r"ensure the role can perform the GetRecords"):
        aws.lambda_.create_event_source_mapping(
            FunctionName=unable, EventSourceArn=stream.arn, StartingPosition="LATEST"
        )
    function = reader(aws)
    refused: dict[str, dict[str, Any]] = {
        "Stream not found": {"EventSourceArn": f"{stream.arn}-2", "StartingPosition": "LATEST"},
        "startingPosition": {"EventSourceArn": stream.arn},
        "StartingPositionTimestamp": {
            "EventSourceArn": stream.arn,
            "StartingPosition": "AT_TIMESTAMP",
        },
        "NotEmulatedBySandbox.*tumbling": {
            "EventSourceArn": stream.arn,
            "StartingPosition": "LATEST",
            "TumblingWindowInSeconds": 10,
        },
        "NotEmulatedBySandbox.*on-failure": {
            "EventSourceArn": stream.arn,
            "StartingPosition": "LATEST",
            "DestinationConfig": {"OnFailure": {"Destination": stream.arn}},
        },
    }
    for error, settings in refused.items():
        with pytest.raises(ClientError, match=error):
            aws.lambda_.create_event_source_mapping(FunctionName=function, **settings)

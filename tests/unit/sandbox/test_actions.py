"""IAM actions and resources that a request needs; the module under test names the pages."""

from __future__ import annotations

import json

import pytest

from terralive_sandbox.access.actions import required_access
from terralive_sandbox.access.sigv4 import Request, Signed


def needed_by(
    service: str,
    body: bytes,
    *headers: tuple[str, str],
    path: str = "/",
    operation: str | None = None,
) -> object:
    signed = Signed("k", "us-east-1", service, ("host",), "", "20260101T000000Z", "")
    request = Request("POST", path, "", headers, body)
    roles = {"known": "arn:aws:iam::1:role/team/known"}
    needed = required_access(request, signed, "1", operation, lambda name: roles.get(name, ""))
    return [(access.action, *access.resources) for access in needed]


def test_a_request_needs_the_actions_of_the_service_authorization_reference() -> None:
    form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8")
    table = "arn:aws:dynamodb:us-east-1:1:table/t"
    assert needed_by("sns", b"Action=Publish&TopicArn=arn%3At&Message=x", form) == [
        ("SNS:Publish", "arn:t")
    ]
    assert needed_by(
        "dynamodb", b'{"TableName": "t"}', ("x-amz-target", "DynamoDB_20120810.GetItem")
    ) == [("dynamodb:GetItem", table)]
    transaction = (
        b'{"TransactItems": [{"Put": {"TableName": "t"}}, {"ConditionCheck": {"TableName": "t"}}]}'
    )
    assert needed_by(
        "dynamodb", transaction, ("x-amz-target", "DynamoDB_20120810.TransactWriteItems")
    ) == [
        ("dynamodb:PutItem", table),
        ("dynamodb:ConditionCheckItem", table),
    ]
    assert needed_by(
        "lambda", b"{}", path="/2015-03-31/functions/f/invocations", operation="Invoke"
    ) == [("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:1:function:f")]
    batch = b'{"QueueUrl": "http://127.0.0.1/1/q", "Entries": []}'
    assert needed_by("sqs", batch, ("x-amz-target", "AmazonSQS.SendMessageBatch")) == [
        ("sqs:sendmessage", "arn:aws:sqs:us-east-1:1:q")
    ]
    stream = f"{table}/stream/2026"
    for name, fields in (
        ("GetRecords", {"ShardIterator": f"{stream}|1|abc"}),
        ("DescribeStream", {"StreamArn": stream}),
    ):
        body = json.dumps(fields).encode()
        assert needed_by(
            "dynamodb", body, ("x-amz-target", f"DynamoDBStreams_20120810.{name}")
        ) == [(f"dynamodb:{name}", stream)]
    mappings = "/2015-03-31/event-source-mappings/"
    for path, resource in (
        (mappings, "*"),
        (f"{mappings}u", "arn:aws:lambda:us-east-1:1:event-source-mapping:u"),
    ):
        assert needed_by("lambda", b"{}", path=path, operation="X") == [("lambda:X", resource)]
    cbor = ("smithy-protocol", "rpc-v2-cbor")
    assert needed_by(
        "monitoring",
        b"",
        cbor,
        path="/service/GraniteServiceVersion20100801/operation/PutMetricData",
    ) == [("cloudwatch:PutMetricData",)]
    assert needed_by(
        "tagging", b"{}", ("x-amz-target", "ResourceGroupsTaggingAPI_20170126.GetResources")
    ) == [("tag:GetResources",)]
    assert needed_by("sts", b"Action=GetCallerIdentity", form) == []
    assert needed_by("apigateway", b"{}", path="/v2/apis/a/stages") == [
        ("apigateway:POST", "arn:aws:apigateway:us-east-1::/apis/a/stages")
    ]


def test_a_request_may_name_a_resource_of_another_account() -> None:
    other = "222222222222"
    sent = json.dumps({"QueueUrl": f"http://127.0.0.1/{other}/q", "MessageBody": "m"}).encode()
    assert needed_by("sqs", sent, ("x-amz-target", "AmazonSQS.SendMessage")) == [
        ("sqs:sendmessage", f"arn:aws:sqs:us-east-1:{other}:q")
    ]
    asked = json.dumps({"QueueName": "q", "QueueOwnerAWSAccountId": other}).encode()
    assert needed_by("sqs", asked, ("x-amz-target", "AmazonSQS.GetQueueUrl")) == [
        ("sqs:getqueueurl", f"arn:aws:sqs:us-east-1:{other}:q")
    ]
    path = f"/2015-03-31/functions/{other}%3Afunction%3Af/invocations"
    assert needed_by("lambda", b"{}", path=path, operation="Invoke") == [
        ("lambda:InvokeFunction", f"arn:aws:lambda:us-east-1:{other}:function:f")
    ]
    alias = f"/2015-03-31/functions/{other}%3Afunction%3Af%3Alive"
    assert needed_by("lambda", b"{}", path=alias, operation="GetFunction") == [
        ("lambda:GetFunction", f"arn:aws:lambda:us-east-1:{other}:function:f:live")
    ]


@pytest.mark.parametrize(
    ("host", "path", "resource"),
    [
        ("b.s3.us-east-1.amazonaws.com", "/a/key", "b/a/key"),
        ("b.c.s3.amazonaws.com:443", "/", "b.c"),
        ("s3.us-east-1.amazonaws.com", "/b/key", "b/key"),
        ("127.0.0.1:4000", "/b/key", "b/key"),
        ("127.0.0.1:4000", "/b/", "b"),
    ],
)
def test_a_bucket_is_named_by_the_host_or_by_the_path(host: str, path: str, resource: str) -> None:
    needed = needed_by("s3", b"", ("host", host), path=path, operation="GetObject")
    assert needed == [("s3:GetObject", f"arn:aws:s3:::{resource}")]


def test_code_in_s3_has_to_be_readable_for_the_caller() -> None:
    where = {"S3Bucket": "b", "S3Key": "f.zip"}
    function = "arn:aws:lambda:us-east-1:1:function:f"
    created = json.dumps({"FunctionName": "f", "Code": where}).encode()
    path = "/2015-03-31/functions"
    assert needed_by("lambda", created, path=path, operation="CreateFunction") == [
        ("lambda:CreateFunction",),
        ("s3:GetObject", "arn:aws:s3:::b/f.zip"),
    ]
    changed = json.dumps(where).encode()
    assert needed_by("lambda", changed, path=f"{path}/f/code", operation="UpdateFunctionCode") == [
        ("lambda:UpdateFunctionCode", function),
        ("s3:GetObject", "arn:aws:s3:::b/f.zip"),
    ]


def test_a_role_is_named_with_its_path() -> None:
    """A request has the path only where it creates the role."""
    form = ("content-type", "application/x-www-form-urlencoded")
    for body, arn in (
        (b"Action=CreateRole&RoleName=r", "arn:aws:iam::1:role/r"),
        (b"Action=CreateRole&RoleName=r&Path=%2Fteam%2F", "arn:aws:iam::1:role/team/r"),
        (b"Action=GetRole&RoleName=known", "arn:aws:iam::1:role/team/known"),
        (b"Action=GetRole&RoleName=missing", "arn:aws:iam::1:role/missing"),
    ):
        action = "iam:" + body.partition(b"&")[0].partition(b"=")[2].decode()
        assert needed_by("iam", body, form) == [(action, arn)]
    assert needed_by("iam", b"Action=ListRoles", form) == [("iam:ListRoles",)]

"""Updates change only what they name, answers have all settings, and AWS's checks apply.

moto alone does none of this (control/moto_gaps).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.sandbox import Aws, code, unique
from terralive_testing.machine.waiting import eventually

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient


def test_an_update_keeps_what_it_does_not_name(sandbox: SandboxInfo) -> None:
    aws = Aws(sandbox)
    name = unique("kept")
    sqs = aws._client("sqs")
    policy = json.dumps(
        {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}]}
    )
    queue = sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"DelaySeconds": "1"})
    assert sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy"])["Attributes"] == {
        "Policy": policy
    }

    role = aws.role(name=name).rpartition("/")[2]
    aws.iam.update_role(RoleName=role, Description="mine", MaxSessionDuration=7200)
    aws.iam.update_role(RoleName=role, MaxSessionDuration=3600)
    aws.iam.update_role(RoleName=role, Description="ours")
    described = aws.iam.get_role(RoleName=role)["Role"]
    assert (described["Description"], described["MaxSessionDuration"]) == ("ours", 3600)

    aws.function("def handler(event, context):\n    pass\n", name=name)
    functions = aws.lambda_
    functions.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=1, MaximumEventAgeInSeconds=60
    )
    functions.update_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    config = functions.get_function_event_invoke_config(FunctionName=name)
    assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (0, 60)
    listed = functions.list_function_event_invoke_configs(FunctionName=name)[
        "FunctionEventInvokeConfigs"
    ]
    assert [entry["LastModified"] for entry in listed] == [config["LastModified"]]

    functions.invoke(FunctionName=name)
    group = unique("/team")
    logging = functions.update_function_configuration(
        FunctionName=name, LoggingConfig={"LogGroup": group}
    )
    assert logging["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": group}
    functions.invoke(FunctionName=name)
    groups = aws.logs.describe_log_groups
    eventually(lambda: bool(groups(logGroupNamePrefix=group)["logGroups"]))

    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    assert functions.get_function(FunctionName=name)["Concurrency"] == {
        "ReservedConcurrentExecutions": 0
    }


def test_reservations_count_against_the_accounts_concurrency_and_100_stay_unreserved(
    sandbox: SandboxInfo,
) -> None:
    aws = Aws(sandbox)
    functions = aws.lambda_
    name = unique("reserved")
    aws.function("def handler(event, context):\n    pass\n", name=name)
    before = functions.get_account_settings()["AccountLimit"]
    assert before["ConcurrentExecutions"] == 1000
    unreserved = before["UnreservedConcurrentExecutions"]

    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=20)
    after = functions.get_account_settings()
    assert after["AccountLimit"]["UnreservedConcurrentExecutions"] == unreserved - 20
    assert after["AccountUsage"]["FunctionCount"] >= 1
    with pytest.raises(ClientError, match=r"below its minimum value of \[100\]"):
        functions.put_function_concurrency(
            FunctionName=name, ReservedConcurrentExecutions=unreserved - 99
        )
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=300)
    functions.delete_function_concurrency(FunctionName=name)
    last = functions.get_account_settings()["AccountLimit"]
    assert last["UnreservedConcurrentExecutions"] == unreserved


def test_lambda_refuses_here_what_it_refuses_on_aws(sandbox: SandboxInfo) -> None:
    aws = Aws(sandbox)
    # botocore itself would refuse numbers that are too small.
    unchecked: LambdaClient = boto3.client(
        "lambda",
        sandbox.region,
        endpoint_url=sandbox.endpoint,
        config=Config(parameter_validation=False),
        aws_access_key_id=sandbox.access_key_id,
        aws_secret_access_key=sandbox.secret_access_key,
    )
    arn = aws.function(
        "def handler(event, context):\n    return 'works'\n", environment={"TZ": "Europe/Berlin"}
    )
    before = aws.lambda_.get_function(FunctionName=arn)
    reserved = (
        "contains reserved keys that are currently not supported for modification. "
        "Reserved keys used in this "
    )
    constraint = "failed to satisfy constraint: Member must "
    too_low = f"{constraint}have value greater than"
    too_high = f"{constraint}have value less than"
    cases: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("ValidationException", f"'901' at 'timeout' {too_high} or equal to", {"Timeout": 901}),
        ("ValidationException", f"'0' at 'timeout' {too_low} or equal to 1", {"Timeout": 0}),
        ("ValidationException", f"'10241' at 'memorySize' {too_high}", {"MemorySize": 10241}),
        ("ValidationException", f"'127' at 'memorySize' {too_low}", {"MemorySize": 127}),
        (
            "InvalidParameterValueException",
            f"{reserved}request: AWS_REGION, _HANDLER",
            {"Environment": {"Variables": {"AWS_REGION": "x", "MINE": "1", "_HANDLER": "y"}}},
        ),
        (
            "InvalidParameterValueException",
            "exceeded the 4KB limit",
            {"Environment": {"Variables": {"A": "x" * 4096}}},
        ),
        (
            "InvalidParameterValueException",
            f"Value python3 at 'runtime' {constraint}satisfy enum value set: [nodejs,",
            {"Runtime": "python3"},
        ),
    )
    everything: dict[str, Any] = {
        "Role": before["Configuration"]["Role"],
        "Handler": "app.handler",
        "Runtime": "python3.12",
        "Code": {"ZipFile": code("")},
    }
    no_zip = b"PK but no zip"
    attempts: list[tuple[str, str, Callable[[], object]]] = []
    for error_code, text, wrong in cases:
        update = partial(unchecked.update_function_configuration, FunctionName=arn, **wrong)
        attempts.append((error_code, text, update))
        settings = {**everything, **wrong}
        create = partial(unchecked.create_function, FunctionName=unique("f"), **settings)
        attempts.append((error_code, text, create))
    invalid = "InvalidParameterValueException"
    not_unzipped = "Could not unzip uploaded file. Please check your file, then try to upload"
    update_code = partial(aws.lambda_.update_function_code, FunctionName=arn, ZipFile=no_zip)
    attempts.append((invalid, not_unzipped, update_code))
    settings = {**everything, "Code": {"ZipFile": no_zip}}
    create_code = partial(aws.lambda_.create_function, FunctionName=unique("f"), **settings)
    attempts.append((invalid, not_unzipped, create_code))
    wrong_type: Any = "Sometime"
    invoke = partial(aws.lambda_.invoke, FunctionName=arn, InvocationType=wrong_type)
    no_type = f"'Sometime' at 'invocationType' {constraint}satisfy enum value set: [Event,"
    attempts.append(("ValidationException", no_type, invoke))
    for expected, text, attempt in attempts:
        with pytest.raises(ClientError) as refused:
            attempt()
        error = refused.value.response["Error"]
        assert error["Code"] == expected
        assert text in error["Message"]
    after = aws.lambda_.get_function(FunctionName=arn)
    same = ("CodeSha256", "Timeout", "MemorySize", "Runtime", "Environment")
    configurations: list[Mapping[str, object]] = [after["Configuration"], before["Configuration"]]
    for name in same:
        assert configurations[0][name] == configurations[1][name]
    assert aws.lambda_.invoke(FunctionName=arn)["Payload"].read() == b'"works"'


def test_a_queue_takes_text_only(sandbox: SandboxInfo) -> None:
    sqs = Aws(sandbox).sqs
    queue = sqs.create_queue(QueueName=unique("text"))["QueueUrl"]
    empty = r"MissingParameter.*The request must contain the parameter MessageBody\."
    bell = (
        "Invalid binary character '#x7' was found in the message body, "
        "the set of allowed characters is "
    )
    for body, error in (
        ("", empty),
        ("a\x07", f"InvalidMessageContents.*{bell}"),
        ("\uffff", "#xFFFF"),
    ):
        with pytest.raises(ClientError, match=error):
            sqs.send_message(QueueUrl=queue, MessageBody=body)
    text = "\t\r\n \x7f\ufffd\U0001f600"
    entries = [{"Id": "bell", "MessageBody": "a\x07"}, {"Id": "text", "MessageBody": text}]
    sent = sqs.send_message_batch(QueueUrl=queue, Entries=entries)  # type: ignore[arg-type] # of the entries' type
    assert [one["Id"] for one in sent["Successful"]] == ["text"]
    assert [(one["Id"], one["Code"]) for one in sent["Failed"]] == [
        ("bell", "InvalidMessageContents")
    ]
    received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in received] == [text]

"""A change leaves alone what it does not name, and what was set is told: where moto forgets."""

from __future__ import annotations

import json

from support.sandbox import Aws, unique
from support.waiting import eventually
from terralive_sandbox.info import SandboxInfo


def test_an_update_keeps_what_it_does_not_name(sandbox: SandboxInfo) -> None:
    aws = Aws(sandbox)
    name = unique("kept")
    sqs = aws._client("sqs")
    policy = json.dumps({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}]})
    queue = sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"DelaySeconds": "1"})
    assert sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy"])["Attributes"] == {"Policy": policy}

    role = aws.role(name=name).rpartition("/")[2]
    aws.iam.update_role(RoleName=role, Description="mine", MaxSessionDuration=7200)
    aws.iam.update_role(RoleName=role, MaxSessionDuration=3600)
    aws.iam.update_role(RoleName=role, Description="ours")
    described = aws.iam.get_role(RoleName=role)["Role"]
    assert (described["Description"], described["MaxSessionDuration"]) == ("ours", 3600)

    aws.function("def handler(event, context):\n    pass\n", name=name)
    functions = aws.lambda_
    functions.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1, MaximumEventAgeInSeconds=60)
    functions.update_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    config = functions.get_function_event_invoke_config(FunctionName=name)
    assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (0, 60)
    listed = functions.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]
    assert [entry["LastModified"] for entry in listed] == [config["LastModified"]]

    functions.invoke(FunctionName=name)
    group = unique("/team")
    logging = functions.update_function_configuration(FunctionName=name, LoggingConfig={"LogGroup": group})
    assert logging["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": group}
    functions.invoke(FunctionName=name)
    groups = aws.logs.describe_log_groups
    eventually(lambda: bool(groups(logGroupNamePrefix=group)["logGroups"]))

    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    assert functions.get_function(FunctionName=name)["Concurrency"] == {"ReservedConcurrentExecutions": 0}

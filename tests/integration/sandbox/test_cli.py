"""The real AWS CLI, with nothing but the environment that `terralive sandbox --env` prints.

Its exit codes: https://docs.aws.amazon.com/cli/latest/userguide/cli-usage-returncodes.html
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from terralive_sandbox.info import SandboxInfo, environment
from terralive_testing.deployers.event_sources import logged
from terralive_testing.deployers.sandbox import Aws, code, unique
from terralive_testing.drivers.websocket_clients import client
from terralive_testing.machine.waiting import eventually

FOUND = shutil.which(
    "aws", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
)
ECHO = 'def handler(event, context):\n    print("seen", event)\n    return event\n'
# The exit code of version 1 (254 in version 2) for an error of the service.
REFUSED = 255
pytestmark = [
    pytest.mark.skipif(FOUND is None, reason="the AWS CLI is not installed"),
    pytest.mark.timeout(240),
]


@dataclass(frozen=True)
class Cli:
    """The AWS CLI on a machine without any configuration; its home is `folder`."""

    info: SandboxInfo
    folder: Path
    keys: Mapping[str, str]

    def run(self, *arguments: str, exit_code: int = 0) -> str:
        """Run a command and return its output; after a failure that of stderr, too."""
        done = subprocess.run(
            [str(FOUND), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "AWS_PAGER": "",
                **environment(self.info),
                **self.keys,
            },
        )
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done.stdout if not exit_code else done.stdout + done.stderr

    def sqs(self, *arguments: str) -> Any:  # noqa: ANN401 - JSON
        """Run a command of SQS, which version 1 sends to AWS unless the command has an address."""
        return self.json("sqs", *arguments, "--endpoint-url", self.info.endpoint)

    def json(self, *arguments: str) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.run(*arguments, "--output", "json"))


@pytest.fixture
def cli(sandbox: SandboxInfo, tmp_path: Path) -> Cli:
    return Cli(sandbox, tmp_path, {})


def test_functions_are_created_invoked_and_their_logs_read(cli: Cli) -> None:
    assert cli.json("sts", "get-caller-identity") == {
        "UserId": cli.json("iam", "get-user", "--user-name", "developer")["User"]["UserId"],
        "Account": cli.info.account_id,
        "Arn": f"arn:aws:iam::{cli.info.account_id}:user/developer",
    }
    name = unique("cli")
    aws = Aws(cli.info)
    role = aws.role({"Effect": "Allow", "Action": "logs:*", "Resource": "*"})
    (cli.folder / "f.zip").write_bytes(code(ECHO))
    made = cli.json(
        "lambda",
        "create-function",
        "--function-name",
        name,
        "--runtime",
        "python3.12",
        "--handler",
        "app.handler",
        "--role",
        role,
        "--zip-file",
        "fileb://f.zip",
    )
    cli.run("lambda", "wait", "function-active-v2", "--function-name", name)
    got = cli.json("lambda", "get-function", "--function-name", name)
    assert got["Configuration"]["FunctionArn"] == made["FunctionArn"]
    assert got["Configuration"]["LastUpdateStatus"] == "Successful"
    (cli.folder / "event.json").write_text('{"from": "the CLI"}')
    answer = cli.json(
        "lambda",
        "invoke",
        "--function-name",
        name,
        "--payload",
        "file://event.json",
        "--log-type",
        "Tail",
        "out.json",
    )
    assert json.loads((cli.folder / "out.json").read_text()) == {"from": "the CLI"}
    assert (answer["StatusCode"], answer["ExecutedVersion"], "FunctionError" in answer) == (
        200,
        "$LATEST",
        False,
    )
    assert "seen {'from': 'the CLI'}" in base64.b64decode(answer["LogResult"]).decode()
    assert cli.json(
        "lambda", "invoke", "--function-name", name, "--invocation-type", "DryRun", "dry.json"
    ) == {"StatusCode": 204}
    group = f"/aws/lambda/{name}"
    eventually(lambda: any("REPORT" in line for line in logged(aws, made["FunctionArn"])))
    events = cli.json(
        "logs", "filter-log-events", "--log-group-name", group, "--filter-pattern", "seen"
    )["events"]
    assert [event["message"].rstrip() for event in events] == ["seen {'from': 'the CLI'}"]
    if not cli.run("--version").startswith("aws-cli/1."):
        assert "REPORT RequestId" in cli.run("logs", "tail", group)
    missing = cli.run(
        "lambda", "invoke", "--function-name", f"{name}-not", "out.json", exit_code=REFUSED
    )
    assert (
        "An error occurred (ResourceNotFoundException) when calling the Invoke operation: "
        "Function not found"
    ) in missing
    cli.run("lambda", "delete-function", "--function-name", name)


def test_messages_items_objects_and_events_go_in_and_come_out(cli: Cli) -> None:
    name = unique("cli")
    arn = f"arn:aws:sqs:{cli.info.region}:{cli.info.account_id}:{name}"
    sns = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    attributes = json.dumps({"Policy": json.dumps({"Version": "2012-10-17", "Statement": [sns]})})
    queue = cli.sqs("create-queue", "--queue-name", name, "--attributes", attributes)["QueueUrl"]
    topic = cli.json("sns", "create-topic", "--name", name)["TopicArn"]
    cli.run(
        "sns",
        "subscribe",
        "--topic-arn",
        topic,
        "--protocol",
        "sqs",
        "--notification-endpoint",
        arn,
    )
    sent = cli.sqs("send-message", "--queue-url", queue, "--message-body", "direct")
    received = cli.sqs("receive-message", "--queue-url", queue, "--wait-time-seconds", "5")[
        "Messages"
    ]
    assert [(m["MessageId"], m["Body"], m["MD5OfBody"]) for m in received] == [
        (sent["MessageId"], "direct", sent["MD5OfMessageBody"])
    ]
    cli.run(
        "sqs",
        "delete-message",
        "--queue-url",
        queue,
        "--receipt-handle",
        received[0]["ReceiptHandle"],
        "--endpoint-url",
        cli.info.endpoint,
    )
    published = cli.json("sns", "publish", "--topic-arn", topic, "--message", "by topic")
    received = cli.sqs("receive-message", "--queue-url", queue, "--wait-time-seconds", "5")[
        "Messages"
    ]
    notification = json.loads(received[0]["Body"])
    assert (notification["Message"], notification["MessageId"]) == (
        "by topic",
        published["MessageId"],
    )

    cli.run(
        "dynamodb",
        "create-table",
        "--table-name",
        name,
        "--billing-mode",
        "PAY_PER_REQUEST",
        "--attribute-definitions",
        "AttributeName=pk,AttributeType=S",
        "--key-schema",
        "AttributeName=pk,KeyType=HASH",
    )
    item = {"pk": {"S": "a"}, "n": {"N": "1.5"}}
    cli.run("dynamodb", "put-item", "--table-name", name, "--item", json.dumps(item))
    assert cli.json(
        "dynamodb", "get-item", "--table-name", name, "--key", '{"pk": {"S": "a"}}'
    ) == {"Item": item}

    (cli.folder / "big.bin").write_bytes(
        os.urandom(9 * 1024 * 1024)
    )  # over the CLI's bound for parts: 8 MB
    cli.run("s3", "mb", f"s3://{name}")
    cli.run("s3", "cp", "big.bin", f"s3://{name}/folder/big one.bin")
    assert cli.run("s3", "ls", f"s3://{name}", "--recursive").split()[2:] == [
        str(9 * 1024 * 1024),
        "folder/big",
        "one.bin",
    ]
    cli.run("s3", "cp", f"s3://{name}/folder/big one.bin", "back.bin")
    assert (cli.folder / "back.bin").read_bytes() == (cli.folder / "big.bin").read_bytes()
    cli.run("s3", "rb", f"s3://{name}", "--force")
    assert name not in cli.run("s3", "ls")

    entries = [
        {"Source": "cli", "DetailType": "t", "Detail": "{}"},
        {"Source": "cli", "DetailType": "t"},
    ]
    put = cli.json("events", "put-events", "--entries", json.dumps(entries))
    assert put["FailedEntryCount"] == 1
    assert ["EventId" in entry for entry in put["Entries"]] == [True, False]


def test_messages_reach_a_websocket_connection(cli: Cli) -> None:
    aws = Aws(cli.info)
    arn = aws.function(
        """
        def handler(event, context):
            return {"statusCode": 200, "body": event["requestContext"]["connectionId"]}
        """
    )
    api = aws.websocket_api(arn, "$connect", "$default")
    route = next(r for r in aws.apis.get_routes(ApiId=api)["Items"] if r["RouteKey"] == "$default")[
        "RouteId"
    ]
    aws.apis.update_route(ApiId=api, RouteId=route, RouteResponseSelectionExpression="$default")
    aws.apis.create_route_response(ApiId=api, RouteId=route, RouteResponseKey="$default")
    endpoint = cli.info.management_url.format(api=api, stage="live")
    with client(cli.info.websocket_url.format(api=api, stage="live")) as socket:
        socket.send("who am I")
        connection = socket.recv(timeout=60)
        assert isinstance(connection, str)
        here = (
            f"--connection-id={connection}",
            "--endpoint-url",
            endpoint,
        )  # an id may begin with a dash
        (cli.folder / "message.txt").write_text("hello by the CLI")
        cli.run(
            "apigatewaymanagementapi", "post-to-connection", "--data", "fileb://message.txt", *here
        )
        assert socket.recv(timeout=60) == "hello by the CLI"
        assert "connectedAt" in {
            name[0].lower() + name[1:]
            for name in cli.json("apigatewaymanagementapi", "get-connection", *here)
        }
        cli.run("apigatewaymanagementapi", "delete-connection", *here)
    gone = cli.run("apigatewaymanagementapi", "get-connection", *here, exit_code=REFUSED)
    assert "An error occurred (GoneException) when calling the GetConnection operation" in gone


def test_a_denied_request_gets_the_error_message_of_aws(cli: Cli) -> None:
    iam = Aws(cli.info).iam
    user = unique("reader")
    iam.create_user(UserName=user)
    statement = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=user, PolicyName="reads", PolicyDocument=document)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    keys = {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
    reader = Cli(cli.info, cli.folder, keys)
    reader.run("s3", "ls")
    arn = f"arn:aws:iam::{cli.info.account_id}:user/{user}"
    for arguments, code_and_operation, action in (
        (
            ("lambda", "list-functions"),
            "AccessDeniedException) when calling the ListFunctions",
            "lambda:ListFunctions",
        ),
        (
            ("dynamodb", "list-tables"),
            "AccessDeniedException) when calling the ListTables",
            "dynamodb:ListTables",
        ),
        (
            ("sns", "list-topics"),
            "AuthorizationError) when calling the ListTopics",
            "SNS:ListTopics",
        ),
        (("iam", "list-roles"), "AccessDenied) when calling the ListRoles", "iam:ListRoles"),
        (
            ("s3api", "create-bucket", "--bucket", user),
            "AccessDenied) when calling the CreateBucket",
            "s3:CreateBucket",
        ),
        (
            ("sqs", "list-queues", "--endpoint-url", cli.info.endpoint),
            "AccessDenied) when calling the ListQueues",
            "sqs:listqueues",
        ),
    ):
        output = reader.run(*arguments, exit_code=REFUSED)
        assert (
            f"An error occurred ({code_and_operation} operation: User: {arn} "
            f"is not authorized to perform: {action}"
        ) in output
        assert f"because no identity-based policy allows the {action} action" in output
    wrong = Cli(cli.info, cli.folder, {"AWS_SECRET_ACCESS_KEY": "x" * 40})
    output = wrong.run("sts", "get-caller-identity", exit_code=REFUSED)
    assert (
        "(SignatureDoesNotMatch) when calling the GetCallerIdentity operation: "
        "The request signature we"
    ) in output
    unknown = Cli(cli.info, cli.folder, {"AWS_ACCESS_KEY_ID": "AKIA" + "X" * 16})
    output = unknown.run("s3", "ls", exit_code=REFUSED)
    assert (
        "(InvalidAccessKeyId) when calling the ListBuckets operation: "
        "The AWS Access Key Id you provided"
    ) in output

"""A debug stack and live functions in a sandbox, without Terraform: the real broker and stub.

Tests that run Terraform test the debug stack itself. This is for tests that need several stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from terralive_terraform.artifacts import (
    STUB_HANDLER,
    StubCoordinates,
    build_broker_zip,
    build_stub_zip,
)
from terralive_testing.deployers.sandbox import Aws, unique


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage: `url` is where relays connect, `functions` has the deployed names."""

    name: str
    url: str
    functions: Mapping[str, str]


def deploy(aws: Aws, folder: Path, timeouts: Mapping[str, int]) -> Stage:
    """Make a debug stack and a live function for each name, with its timeout in seconds.

    Zips are built in `folder`.
    """
    info, name = aws.info, unique("stage")
    table = aws.dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    )["TableDescription"]["TableArn"]
    broker = aws.function(
        build_broker_zip(folder).path.read_bytes(),
        handler="terralive_stub.broker.lambda_function.handler",
        statements=[_allow("dynamodb:*", table), _allow("execute-api:ManageConnections", "*")],
        timeout=29,
        name=f"{name}-broker",
    )
    api = aws.websocket_api(
        broker, "$connect", "$disconnect", "$default", stages=("relay", "stub"), iam=True
    )
    # As Terraform gives it: the API's address with the stage left open.
    management = info.management_url.replace("{api}", api)
    aws.lambda_.update_function_configuration(
        FunctionName=broker,
        Environment={"Variables": {"TABLE_NAME": name, "MANAGEMENT_ENDPOINT": management}},
    )
    relay, stub = (info.websocket_url.format(api=api, stage=each) for each in ("relay", "stub"))
    artifact = build_stub_zip(
        StubCoordinates(stub, info.region, "test", name), folder
    ).path.read_bytes()
    connect = _allow("execute-api:Invoke", f"{aws.execution_arn(api)}/stub/$connect")
    functions = {key: f"{name}-{key}" for key in timeouts}
    for key, timeout in timeouts.items():
        aws.function(
            artifact,
            handler=STUB_HANDLER,
            statements=[connect],
            timeout=timeout,
            name=functions[key],
        )
    return Stage(name, relay, functions)


def _allow(action: str, resource: str) -> Mapping[str, object]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}

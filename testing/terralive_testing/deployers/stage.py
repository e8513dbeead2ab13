"""A debug stack and live functions in a sandbox, without Terraform: the real broker and stub.

Tests that run Terraform test the debug stack itself. This is for tests that need several stages.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from terralive_stub.broker.aws import DynamoDBTable
from terralive_stub.protocol.token import HEADER, SECRET_BYTES, Api
from terralive_terraform.artifacts import (
    STUB_HANDLER,
    StubCoordinates,
    build_broker_zip,
    build_stub_zip,
)
from terralive_testing.deployers.sandbox import Aws, unique


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage.

    Attributes:
        name: its name, also that of its table.
        url: where relays connect.
        stub_url: where stubs connect.
        secret: its secret.
        functions: the names of its live functions, by the keys that the test gave.
        arns: their ARNs, by the same keys.
    """

    name: str
    url: str
    stub_url: str
    secret: bytes
    functions: Mapping[str, str]
    arns: Mapping[str, str]


def deploy(
    aws: Aws, folder: Path, timeouts: Mapping[str, int], *, isolated: Collection[str] = ()
) -> Stage:
    """Make a debug stack and a live function for each name, with its timeout in seconds.

    Zips are built in `folder`. The functions' roles have no rights beside their logs. Those named
    in `isolated` isolate their tenants.
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
        handler="terralive_stub.broker.handler",
        statements=[_allow("dynamodb:*", table), _allow("execute-api:ManageConnections", "*")],
        timeout=29,
        name=f"{name}-broker",
    )
    routes = ("$connect", "$disconnect", "$default")
    relay_api = aws.websocket_api(broker, *routes, stages=(Api.RELAY,), iam=True)
    stub_api = aws.websocket_api(broker, *routes, stages=(Api.STUB,))
    aws.authorize_connect(stub_api, broker, HEADER)
    variables = {
        "TABLE_NAME": name,
        "RELAY_MANAGEMENT_ENDPOINT": info.management_url.format(api=relay_api, stage=Api.RELAY),
        "STUB_MANAGEMENT_ENDPOINT": info.management_url.format(api=stub_api, stage=Api.STUB),
    }
    aws.lambda_.update_function_configuration(
        FunctionName=broker, Environment={"Variables": variables}
    )
    secret = DynamoDBTable(aws.dynamodb, name).create_secret(os.urandom(SECRET_BYTES))
    stub_url = info.websocket_url.format(api=stub_api, stage=Api.STUB)
    coordinates = StubCoordinates(stub_url, "test", name, secret)
    artifact = build_stub_zip(coordinates, folder).path.read_bytes()
    functions = {key: f"{name}-{key}" for key in timeouts}
    arns: dict[str, str] = {}
    for key, timeout in timeouts.items():
        arns[key] = aws.function(
            artifact,
            handler=STUB_HANDLER,
            timeout=timeout,
            name=functions[key],
            isolates_tenants=key in isolated,
        )
    relay_url = info.websocket_url.format(api=relay_api, stage=Api.RELAY)
    return Stage(name, relay_url, stub_url, secret, functions, arns)


def _allow(action: str, resource: str) -> Mapping[str, object]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}

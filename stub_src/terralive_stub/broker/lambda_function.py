"""The broker's Lambda handler.

Environment variables: `TABLE_NAME`; `RELAY_MANAGEMENT_ENDPOINT` and `STUB_MANAGEMENT_ENDPOINT`, the
URLs of the two APIs' management APIs; `RELAY_IDENTITY`, see `IdentitySource`.

The clients are created when Lambda imports this module: its init phase has more CPU than an
invocation, https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html. So nothing
but Lambda imports it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Final

import boto3

from terralive_stub.broker.admission import Admission
from terralive_stub.broker.aws import CONFIG, DynamoDBTable, ManagementApi
from terralive_stub.broker.exchange import Exchange
from terralive_stub.broker.gateway_events import Broker, Event
from terralive_stub.broker.identity_source import IdentitySource
from terralive_stub.protocol.token import Api
from terralive_stub.shared.json_documents import Json


def make_broker(environ: Mapping[str, str]) -> Broker:
    """Build the broker from its environment variables.

    Raises:
        KeyError: a variable is missing.
        ValueError: `RELAY_IDENTITY` has a value that is not one of `IdentitySource`.
    """
    session = boto3.Session()
    table = DynamoDBTable(session.client("dynamodb", config=CONFIG), environ["TABLE_NAME"])
    endpoints = {
        Api.RELAY: environ["RELAY_MANAGEMENT_ENDPOINT"],
        Api.STUB: environ["STUB_MANAGEMENT_ENDPOINT"],
    }
    source = IdentitySource(environ.get("RELAY_IDENTITY", IdentitySource.IAM))
    exchange = Exchange(table, ManagementApi(session, endpoints))
    return Broker(Admission(table, source), exchange, log=print)


# The broker of this execution environment.
_BROKER: Final = make_broker(os.environ)


def handler(event: Event, context: object) -> dict[str, Json]:  # noqa: ARG001  # Lambda passes both
    """Process one event of API Gateway. Lambda calls this."""
    return _BROKER.handle(event, int(time.time() * 1000))

"""The broker Lambda: `exchange.py` behind API Gateway, with DynamoDB and `@connections` through boto3.

Environment: `TABLE_NAME`; `MANAGEMENT_ENDPOINT`, the management API's address with `{stage}` left
in. Event shapes:
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html.
Nothing of a message is ever logged: invocations carry credentials.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, TypedDict

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from terralive_stub.broker.exchange import (
    REMEMBER_MS,
    ApiStage,
    Conflict,
    ConnectionIdentity,
    Exchange,
    Gone,
    Lease,
    LeaseState,
)
from terralive_stub.shared.json_documents import section, text

if TYPE_CHECKING:
    from types_boto3_apigatewaymanagementapi.client import ApiGatewayManagementApiClient
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

# Fail fast and try again: the gateway gives an integration 29 s, a stub waits 3 s for an
# acknowledgement.
_CONFIG: Final = Config(
    connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 4}
)
_KINDS: Final = frozenset({"CONNECT", "DISCONNECT", "MESSAGE"})
_LEASE_KEY: Final[Mapping[str, AttributeValueTypeDef]] = {
    "pk": {"S": "lease"},
    "sk": {"S": "lease"},
}


class Response(TypedDict):
    statusCode: int


class DynamoDBTable:
    """The connections table.

    One item a connection, one for the lease; `expires` (seconds) is its TTL attribute.
    """

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._client = client
        self._name = name

    def put_identity(self, identity: ConnectionIdentity) -> None:
        self._client.put_item(
            TableName=self._name,
            Item={
                **self._key(identity.connection),
                "door": {"S": str(identity.api_stage)},
                "arn": {"S": identity.arn},
                "expires": {"N": str(identity.expires_ms // 1000)},
            },
        )

    def get_identity(self, connection: str) -> ConnectionIdentity | None:
        if not connection:
            return None
        answer = self._client.get_item(
            TableName=self._name, Key=self._key(connection), ConsistentRead=True
        )
        item = answer.get("Item")
        if item is None:
            return None
        return ConnectionIdentity(
            connection,
            ApiStage(item["door"]["S"]),
            item["arn"]["S"],
            int(item["expires"]["N"]) * 1000,
        )

    def delete_identity(self, connection: str) -> None:
        self._client.delete_item(TableName=self._name, Key=self._key(connection))

    def get_lease(self) -> Lease | None:
        item = self._client.get_item(TableName=self._name, Key=_LEASE_KEY, ConsistentRead=True).get(
            "Item"
        )
        if item is None:
            return None
        return Lease(
            relay=item["relay"]["S"],
            connection=item["connection"]["S"],
            owner=item["owner"]["S"],
            machine=item["machine"]["S"],
            arn=item["arn"]["S"],
            functions=frozenset(name["S"] for name in item["functions"]["L"]),
            state=LeaseState(item["state"]["S"]),
            since_ms=int(item["since_ms"]["N"]),
            until_ms=int(item["until_ms"]["N"]),
            expires_ms=int(item["expires_ms"]["N"]),
            version=int(item["version"]["N"]),
        )

    def put_lease(self, lease: Lease, *, replaces: int) -> None:
        condition = "attribute_not_exists(pk)" if replaces == 0 else "version = :replaces"
        item: dict[str, AttributeValueTypeDef] = {
            **_LEASE_KEY,
            "relay": {"S": lease.relay},
            "connection": {"S": lease.connection},
            "owner": {"S": lease.owner},
            "machine": {"S": lease.machine},
            "arn": {"S": lease.arn},
            "functions": {"L": [{"S": name} for name in sorted(lease.functions)]},
            "state": {"S": str(lease.state)},
            "since_ms": {"N": str(lease.since_ms)},
            "until_ms": {"N": str(lease.until_ms)},
            "expires_ms": {"N": str(lease.expires_ms)},
            "version": {"N": str(lease.version)},
            "expires": {"N": str((lease.expires_ms + REMEMBER_MS) // 1000)},
        }
        try:
            if replaces == 0:
                self._client.put_item(
                    TableName=self._name, Item=item, ConditionExpression=condition
                )
            else:
                self._client.put_item(
                    TableName=self._name,
                    Item=item,
                    ConditionExpression=condition,
                    ExpressionAttributeValues={":replaces": {"N": str(replaces)}},
                )
        except self._client.exceptions.ConditionalCheckFailedException:
            raise Conflict from None

    @staticmethod
    def _key(connection: str) -> dict[str, AttributeValueTypeDef]:
        return {"pk": {"S": f"connection#{connection}"}, "sk": {"S": "identity"}}


class ManagementApi:
    """`@connections` of both stages.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
    """

    def __init__(self, session: boto3.Session, endpoint: str) -> None:
        self._clients: dict[ApiStage, ApiGatewayManagementApiClient] = {
            api_stage: session.client(
                "apigatewaymanagementapi",
                endpoint_url=endpoint.replace("{stage}", api_stage),
                config=_CONFIG,
            )
            for api_stage in ApiStage
        }

    def post(self, api_stage: ApiStage, connection: str, text: str) -> None:
        client = self._clients[api_stage]
        try:
            client.post_to_connection(ConnectionId=connection, Data=text.encode())
        except client.exceptions.GoneException:
            raise Gone from None

    def close(self, api_stage: ApiStage, connection: str) -> None:
        client = self._clients[api_stage]
        try:
            client.delete_connection(ConnectionId=connection)
        except client.exceptions.GoneException:
            return
        except ClientError as error:
            print(f"could not close a connection: {error.response['Error'].get('Code')}")  # noqa: T201  # Lambda's log


@dataclass(frozen=True, slots=True)
class Broker:
    """What a warm environment keeps."""

    exchange: Exchange

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        session = boto3.Session()
        table = DynamoDBTable(session.client("dynamodb", config=_CONFIG), environ["TABLE_NAME"])
        return cls(Exchange(table, ManagementApi(session, environ["MANAGEMENT_ENDPOINT"])))

    def handle(self, event: Mapping[str, object], now_ms: int) -> Response:
        """Act on one event; 400 for what API Gateway never sends."""
        context = section(event, "requestContext")
        connection = text(context, "connectionId")
        kind = text(context, "eventType")
        if not connection or kind not in _KINDS:
            return {"statusCode": 400}
        if kind == "CONNECT":
            arn = text(section(context, "identity"), "userArn")
            welcome = self.exchange.connect(connection, text(context, "stage"), arn, now_ms)
            return {"statusCode": 200 if welcome else 403}
        if kind == "DISCONNECT":
            self.exchange.disconnect(connection, now_ms)
        else:
            self.exchange.message(connection, text(event, "body"), now_ms)
        return {"statusCode": 200}


_broker: list[Broker] = []


def handler(event: Mapping[str, object], context: object) -> Response:  # noqa: ARG001  # Lambda passes both
    """Lambda's entry.

    The clients are made in the first invocation, so that importing this module needs no AWS.
    """
    if not _broker:
        _broker.append(Broker.from_environment(os.environ))
    return _broker[0].handle(event, int(time.time() * 1000))

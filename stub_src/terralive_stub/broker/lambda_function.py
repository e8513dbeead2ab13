"""The broker's Lambda handler: it gives API Gateway's events to `exchange.py`, and uses boto3.

Environment variables: `TABLE_NAME`, and `MANAGEMENT_ENDPOINT`, the URL of the management API with
`{stage}` in the place of the stage's name. Event shapes:
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html
It never logs anything from a message, because invocations contain credentials.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, TypedDict

import boto3
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError

from terralive_stub.broker.exchange import Conflict, Exchange, Gone
from terralive_stub.broker.leases import ApiStage, ConnectionIdentity, Lease, LeaseState
from terralive_stub.shared.endpoints import reachable
from terralive_stub.shared.json_documents import section, text

if TYPE_CHECKING:
    from types_boto3_apigatewaymanagementapi.client import ApiGatewayManagementApiClient
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

# Fail fast and try again: API Gateway waits 29 s for the broker, but a stub waits only 3 s for an
# acknowledgement.
_CONFIG: Final = Config(
    connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 4}
)
# An expired lease stays in the table, to tell stubs which relay was connected last.
_REMEMBER_MS: Final = 30 * 24 * 60 * 60 * 1000
_LEASE_KEY: Final[Mapping[str, AttributeValueTypeDef]] = {
    "pk": {"S": "lease"},
    "sk": {"S": "lease"},
}


class Response(TypedDict):
    """The broker's response to API Gateway."""

    statusCode: int


class DynamoDBTable:
    """The table in DynamoDB: one item for each connection, and one for the lease.

    The TTL attribute is `expires`, in seconds since the Unix epoch.
    """

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._client = client
        self._name = name

    def put_identity(self, identity: ConnectionIdentity) -> None:
        self._client.put_item(
            TableName=self._name,
            Item={
                **self._key(identity.connection),
                # The attribute's name stays: a broker reads items of the version before it.
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
            connection=connection,
            api_stage=ApiStage(item["door"]["S"]),
            arn=item["arn"]["S"],
            expires_ms=int(item["expires"]["N"]) * 1000,
        )

    def delete_identity(self, connection: str) -> None:
        self._client.delete_item(TableName=self._name, Key=self._key(connection))

    def get_lease(self) -> Lease | None:
        answer = self._client.get_item(TableName=self._name, Key=_LEASE_KEY, ConsistentRead=True)
        item = answer.get("Item")
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
            "expires": {"N": str((lease.expires_ms + _REMEMBER_MS) // 1000)},
        }
        try:
            if replaces == 0:
                self._client.put_item(
                    TableName=self._name,
                    Item=item,
                    ConditionExpression="attribute_not_exists(pk)",
                )
            else:
                self._client.put_item(
                    TableName=self._name,
                    Item=item,
                    ConditionExpression="version = :replaces",
                    ExpressionAttributeValues={":replaces": {"N": str(replaces)}},
                )
        except self._client.exceptions.ConditionalCheckFailedException:
            raise Conflict from None

    @staticmethod
    def _key(connection: str) -> dict[str, AttributeValueTypeDef]:
        return {"pk": {"S": f"connection#{connection}"}, "sk": {"S": "identity"}}


class ManagementApi:
    """API Gateway's management API (`@connections`), for both stages.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
    """

    def __init__(self, session: boto3.Session, endpoint: str) -> None:
        self._clients = {
            api_stage: _management_client(session, endpoint.replace("{stage}", api_stage))
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
            # The relay has a new connection already, so the old one may stay until it expires.
            code = error.response["Error"].get("Code")
            print(f"could not close a connection: {code}")  # noqa: T201  # Lambda's log


def _management_client(session: boto3.Session, endpoint: str) -> ApiGatewayManagementApiClient:
    """Return a client of one API stage; see `reachable` for its address."""
    address = reachable(endpoint)
    client = session.client("apigatewaymanagementapi", endpoint_url=address.url, config=_CONFIG)

    def set_host(request: AWSRequest, **_: object) -> None:
        request.headers["Host"] = address.host

    if address.host:
        # The emulator finds the API by this header.
        client.meta.events.register("before-sign.apigatewaymanagementapi", set_host)
    return client


@dataclass(frozen=True, slots=True)
class Broker:
    """The broker of one execution environment, kept while the environment is warm."""

    exchange: Exchange

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Build the broker from its environment variables.

        Raises:
            KeyError: a variable is missing.
        """
        session = boto3.Session()
        table = DynamoDBTable(session.client("dynamodb", config=_CONFIG), environ["TABLE_NAME"])
        return cls(Exchange(table, ManagementApi(session, environ["MANAGEMENT_ENDPOINT"])))

    def handle(self, event: Mapping[str, object], now_ms: int) -> Response:
        """Process one event; 400 for an event that API Gateway never sends."""
        context = section(event, "requestContext")
        connection = text(context, "connectionId")
        if not connection:
            return {"statusCode": 400}
        match text(context, "eventType"):
            case "CONNECT":
                arn = text(section(context, "identity"), "userArn")
                if not self.exchange.connect(connection, text(context, "stage"), arn, now_ms):
                    return {"statusCode": 403}
            case "DISCONNECT":
                self.exchange.disconnect(connection, now_ms)
            case "MESSAGE":
                self.exchange.message(connection, text(event, "body"), now_ms)
            case _:
                return {"statusCode": 400}
        return {"statusCode": 200}


# The broker of this environment; empty before the first event.
_broker: list[Broker] = []


def handler(event: Mapping[str, object], context: object) -> Response:  # noqa: ARG001  # Lambda passes both
    """Process one event of API Gateway. Lambda calls this.

    The clients are created with the first event, so that importing this module needs no AWS.
    """
    if not _broker:
        _broker.append(Broker.from_environment(os.environ))
    return _broker[0].handle(event, int(time.time() * 1000))

"""The broker's table in DynamoDB, and API Gateway's management API. Only here is boto3 called.

Nothing from a message or a token is ever logged, because invocations contain credentials.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import boto3
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError

from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.broker.leases import ConnectionIdentity, Lease, LeaseState, Takeover
from terralive_stub.broker.services import Conflict, Gone
from terralive_stub.protocol.messages import FallbackCount
from terralive_stub.protocol.token import Api
from terralive_stub.shared.endpoints import reachable

if TYPE_CHECKING:
    from types_boto3_apigatewaymanagementapi.client import ApiGatewayManagementApiClient
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

# Fail fast and try again: API Gateway waits 29 s for the broker, but a stub waits only 3 s for an
# acknowledgement.
CONFIG: Final = Config(
    connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 4}
)
# Takeovers stay in the table for this long, and an expired lease, too: it tells stubs which relay
# was connected last.
_REMEMBER_MS: Final = 30 * 24 * 60 * 60 * 1000
_LEASE_KEY: Final[Mapping[str, AttributeValueTypeDef]] = {
    "pk": {"S": "lease"},
    "sk": {"S": "lease"},
}
_SECRET_KEY: Final[Mapping[str, AttributeValueTypeDef]] = {
    "pk": {"S": "secret"},
    "sk": {"S": "secret"},
}
_REPLACED: Final = "replaced"
_FALLBACK_KEY: Final[Mapping[str, AttributeValueTypeDef]] = {
    "pk": {"S": "fallback"},
    "sk": {"S": "fallback"},
}
# Names of attributes of that item: these, and a function's ARN.
_ANSWERED: Final = "answered "
_FAILED: Final = "failed "
_SINCE: Final = "since "


class DynamoDBTable:
    """The table in DynamoDB.

    | `pk` | `sk` | item |
    |---|---|---|
    | `connection#ID` | `identity` | a connection's identity |
    | `lease` | `lease` | the stage's lease |
    | `secret` | `secret` | the stage's secret |
    | `nonce#NONCE` | `nonce` | a token that was used |
    | `replaced` | a function's ARN | the version that has its real code |
    | `fallback` | `fallback` | how many invocations the fallbacks have answered |
    | `takeover` | milliseconds since the Unix epoch and relay | a takeover |

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
                "api": {"S": str(identity.api)},
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
            api=Api(item["api"]["S"]),
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
            held_ms=int(item.get("held_ms", {"N": "0"})["N"]),
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
            "held_ms": {"N": str(lease.held_ms)},
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

    def put_takeover(self, takeover: Takeover) -> None:
        before, after = takeover.before, takeover.after
        self._client.put_item(
            TableName=self._name,
            Item={
                "pk": {"S": "takeover"},
                "sk": {"S": f"{takeover.at_ms}#{after.relay}"},
                "from_owner": {"S": before.owner},
                "from_machine": {"S": before.machine},
                "from_arn": {"S": before.arn},
                "by_owner": {"S": after.owner},
                "by_machine": {"S": after.machine},
                "by_arn": {"S": after.arn},
                "expires": {"N": str((takeover.at_ms + _REMEMBER_MS) // 1000)},
            },
        )

    def get_secret(self) -> bytes | None:
        answer = self._client.get_item(TableName=self._name, Key=_SECRET_KEY, ConsistentRead=True)
        item = answer.get("Item")
        if item is None:
            return None
        return bytes(item["value"]["B"])

    def create_secret(self, secret: bytes) -> bytes:
        """Store the secret unless there is one already; return the one that is stored.

        Raises:
            Conflict: another process deletes the table's items at this moment.
        """
        item: dict[str, AttributeValueTypeDef] = {**_SECRET_KEY, "value": {"B": secret}}
        if self._put_new(item):
            return secret
        stored = self.get_secret()
        if stored is None:
            raise Conflict
        return stored

    def put_nonce(self, nonce: str, expires_ms: int) -> bool:
        # DynamoDB deletes an expired item later than that, never earlier:
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
        return self._put_new(
            {
                "pk": {"S": f"nonce#{nonce}"},
                "sk": {"S": "nonce"},
                "expires": {"N": str(-(-expires_ms // 1000))},
            }
        )

    def put_replaced(self, replaced: Replaced) -> None:
        self._client.put_item(
            TableName=self._name,
            Item={
                **_replaced_key(replaced.function),
                "version": {"S": replaced.version},
                "code_sha256": {"S": replaced.code_sha256},
                "made": {"BOOL": replaced.made},
                "aliases": {
                    "M": {alias: {"S": version} for alias, version in replaced.aliases.items()}
                },
                "can_answer": {"BOOL": replaced.can_answer},
                "reason": {"S": replaced.reason},
            },
        )

    def get_replaced(self, function: str) -> Replaced | None:
        answer = self._client.get_item(
            TableName=self._name, Key=_replaced_key(function), ConsistentRead=True
        )
        item = answer.get("Item")
        if item is None:
            return None
        return _replaced(item)

    def list_replaced(self) -> list[Replaced]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._name,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": _REPLACED}},
            ConsistentRead=True,
        )
        return [_replaced(item) for page in pages for item in page["Items"]]

    def delete_replaced(self, function: str) -> None:
        self._client.delete_item(TableName=self._name, Key=_replaced_key(function))

    def count_fallback(self, function: str, *, ok: bool, now_ms: int) -> None:
        self._client.update_item(
            TableName=self._name,
            Key=_FALLBACK_KEY,
            UpdateExpression=(
                "SET #since = if_not_exists(#since, :now), #expires = :expires"
                " ADD #answered :one, #failed :failed"
            ),
            ExpressionAttributeNames={
                "#since": _SINCE + function,
                "#expires": "expires",
                "#answered": _ANSWERED + function,
                "#failed": _FAILED + function,
            },
            ExpressionAttributeValues={
                ":now": {"N": str(now_ms)},
                ":expires": {"N": str((now_ms + _REMEMBER_MS) // 1000)},
                ":one": {"N": "1"},
                ":failed": {"N": str(int(not ok))},
            },
        )

    def take_fallback_counts(self) -> list[FallbackCount]:
        answer = self._client.delete_item(
            TableName=self._name, Key=_FALLBACK_KEY, ReturnValues="ALL_OLD"
        )
        item = answer.get("Attributes", {})
        functions = [
            name.removeprefix(_ANSWERED) for name in sorted(item) if name.startswith(_ANSWERED)
        ]
        return [
            FallbackCount(
                function,
                answered=int(item[_ANSWERED + function]["N"]),
                failed=int(item[_FAILED + function]["N"]),
                since_ms=int(item[_SINCE + function]["N"]),
            )
            for function in functions
        ]

    def _put_new(self, item: dict[str, AttributeValueTypeDef]) -> bool:
        """Write an item; return False if there is one with this key."""
        try:
            self._client.put_item(
                TableName=self._name,
                Item=item,
                ConditionExpression="attribute_not_exists(pk)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    @staticmethod
    def _key(connection: str) -> dict[str, AttributeValueTypeDef]:
        return {"pk": {"S": f"connection#{connection}"}, "sk": {"S": "identity"}}


def _replaced_key(function: str) -> dict[str, AttributeValueTypeDef]:
    return {"pk": {"S": _REPLACED}, "sk": {"S": function}}


def _replaced(item: Mapping[str, AttributeValueTypeDef]) -> Replaced:
    return Replaced(
        function=item["sk"]["S"],
        version=item["version"]["S"],
        code_sha256=item["code_sha256"]["S"],
        made=item["made"]["BOOL"],
        aliases={alias: value["S"] for alias, value in item["aliases"]["M"].items()},
        can_answer=item["can_answer"]["BOOL"],
        reason=item["reason"]["S"],
    )


class ManagementApi:
    """API Gateway's management API (`@connections`) of both APIs.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html

    Args:
        session: a session with credentials.
        endpoints: the address of each API's management API, with the API's stage.
    """

    def __init__(self, session: boto3.Session, endpoints: Mapping[Api, str]) -> None:
        self._clients = {
            api: _management_client(session, endpoint) for api, endpoint in endpoints.items()
        }

    def post(self, api: Api, connection: str, text: str) -> None:
        client = self._clients[api]
        try:
            client.post_to_connection(ConnectionId=connection, Data=text.encode())
        except client.exceptions.GoneException:
            raise Gone from None

    def close(self, api: Api, connection: str) -> None:
        client = self._clients[api]
        try:
            client.delete_connection(ConnectionId=connection)
        except client.exceptions.GoneException:
            return
        except ClientError as error:
            # The relay has a new connection already, so the old one may stay until it expires.
            code = error.response["Error"].get("Code")
            print(f"could not close a connection: {code}")  # noqa: T201  # Lambda's log


def _management_client(session: boto3.Session, endpoint: str) -> ApiGatewayManagementApiClient:
    """Return a client of one API's management API; see `reachable` for its address."""
    address = reachable(endpoint)
    client = session.client("apigatewaymanagementapi", endpoint_url=address.url, config=CONFIG)

    def set_host(request: AWSRequest, **_: object) -> None:
        request.headers["Host"] = address.host

    if address.host:
        # The emulator finds the API by this header.
        client.meta.events.register("before-sign.apigatewaymanagementapi", set_host)
    return client

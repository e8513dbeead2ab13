"""Functions that authorize clients of an API in the sandbox as the clients themselves say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from terralive_testing.deployers.sandbox import Aws, unique

# The function answers what the token says: JSON, with `ARN` for the ARN of the method. It keeps
# every event in its table.
_CODE = """
import boto3, json, os, uuid
table = boto3.client("dynamodb")
def handler(event, context):
    item = {"pk": {"S": str(uuid.uuid4())}, "event": {"S": json.dumps(event)}}
    table.put_item(TableName=os.environ["TABLE"], Item=item)
    headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
    answer = headers.get("x-token") or event["authorizationToken"]
    if answer.startswith("raise "):
        raise Exception(answer.removeprefix("raise "))
    return json.loads(answer.replace("ARN", event.get("routeArn") or event["methodArn"]))
"""


def policy(effect: str, resource: str = "ARN", context: object = None, **others: object) -> str:
    """Return the JSON text of an authorizer's answer."""
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    answer: dict[str, object] = {"principalId": "somebody", "policyDocument": document, **others}
    if context is not None:
        answer["context"] = context
    return json.dumps(answer)


class AuthorizerFunction:
    """A function that answers what the header `X-Token` says, and keeps its events.

    Attributes:
        arn: the ARN of the function.
    """

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._table = unique("events")
        aws.dynamodb.create_table(
            TableName=self._table,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        may = [{"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": "*"}]
        self.arn = aws.function(_CODE, statements=may, environment={"TABLE": self._table})

    def allow(self, api: str, authorizer: str) -> None:
        """Let an authorizer of an API invoke the function."""
        arn = f"{self._aws.execution_arn(api)}/authorizers/{authorizer}"
        self._aws.allow(self.arn, "apigateway.amazonaws.com", arn)

    @contextmanager
    def runs(self) -> Iterator[list[Mapping[str, object]]]:
        """Collect the events with which the function runs in the block."""
        before = self._events()
        new: list[Mapping[str, object]] = []
        yield new
        new += [event for key, event in self._events().items() if key not in before]

    def _events(self) -> dict[str, Mapping[str, object]]:
        items = self._aws.dynamodb.scan(TableName=self._table)["Items"]
        return {item["pk"]["S"]: json.loads(item["event"]["S"]) for item in items}

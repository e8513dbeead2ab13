"""Lambda authorizers of WebSocket APIs, as a client, a function and Terraform see them.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from websockets.exceptions import InvalidStatus

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.authorizers import policy
from terralive_testing.deployers.sandbox import Aws, unique
from terralive_testing.drivers.websocket_clients import PATIENCE, ask, client, two_way
from terralive_testing.machine.waiting import eventually
from terralive_testing.oracles.samples import assert_same_shape, sample

# The authorizer answers what the header says: JSON, with `ARN` for the ARN of the method. It keeps
# every event under its connection id.
AUTHORIZER = """
import boto3, json, os
table = boto3.client("dynamodb")
def handler(event, context):
    item = {"pk": {"S": event["requestContext"]["connectionId"]}, "event": {"S": json.dumps(event)}}
    table.put_item(TableName=os.environ["TABLE"], Item=item)
    answer = event["headers"]["X-Answer"]
    if answer.startswith("raise "):
        raise Exception(answer.removeprefix("raise "))
    return json.loads(answer.replace("ARN", event["methodArn"]))
"""
ECHO = """
import boto3, json, os
table = boto3.client("dynamodb")
def handler(event, context):
    about = event["requestContext"]
    if about["eventType"] != "MESSAGE":
        key = about["eventType"] + about["connectionId"]
        item = {"pk": {"S": key}, "event": {"S": json.dumps(event)}}
        table.put_item(TableName=os.environ["TABLE"], Item=item)
    return {"statusCode": 200, "body": json.dumps(event)}
"""
SOURCE = "route.request.header.X-Answer"


class AuthorizedApi:
    """A WebSocket API whose `$connect` has an authorizer."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.table = unique("events")
        aws.dynamodb.create_table(
            TableName=self.table,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        may = [{"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": "*"}]
        environment = {"TABLE": self.table}
        self.echo = aws.function(ECHO, statements=may, environment=environment)
        self.function = aws.function(AUTHORIZER, statements=may, environment=environment)
        self.api = aws.websocket_api(self.echo, "$connect", "$disconnect", "$default")
        two_way(aws, self.api, "$default")
        path = f"lambda:path/2015-03-31/functions/{self.function}/invocations"
        self.uri = f"arn:aws:apigateway:{aws.info.region}:{path}"
        self.authorizer = self.authorize(SOURCE)
        arn = f"{aws.execution_arn(self.api)}/authorizers/{self.authorizer}"
        aws.allow(self.function, "apigateway.amazonaws.com", arn)

    def authorize(self, *sources: str, credentials: str = "") -> str:
        """Give `$connect` a new authorizer with these identity sources. Return its id."""
        authorizer = self.aws.apis.create_authorizer(
            ApiId=self.api,
            AuthorizerType="REQUEST",
            AuthorizerUri=self.uri,
            IdentitySource=list(sources),
            Name=unique("authorizer"),
            AuthorizerCredentialsArn=credentials,
        )["AuthorizerId"]
        self.use(authorizer)
        return authorizer

    def use(self, authorizer: str) -> None:
        """Let `$connect` use an authorizer."""
        routes = self.aws.apis.get_routes(ApiId=self.api)["Items"]
        connect = next(route for route in routes if route["RouteKey"] == "$connect")
        self.aws.apis.update_route(
            ApiId=self.api,
            RouteId=connect["RouteId"],
            AuthorizationType="CUSTOM",
            AuthorizerId=authorizer,
        )

    @contextmanager
    def using(self, authorizer: str) -> Iterator[None]:
        """Let `$connect` use an authorizer for some time."""
        self.use(authorizer)
        try:
            yield
        finally:
            self.use(self.authorizer)

    def url(self, query: str = "") -> str:
        return self.aws.info.websocket_url.format(api=self.api, stage="live") + query

    def status(self, headers: Mapping[str, str], query: str = "") -> tuple[int, str]:
        """Return the status and the message for a client that may not connect."""
        with pytest.raises(InvalidStatus) as refused, client(self.url(query), dict(headers)):
            pass
        response = refused.value.response
        return response.status_code, json.loads(response.body or b"{}").get("message")

    def runs(self) -> int:
        """Return how often the authorizer's function has run."""
        items = self.aws.dynamodb.scan(TableName=self.table)["Items"]
        return len([item for item in items if '"methodArn"' in item["event"]["S"]])

    def kept(self, key: str) -> dict[str, object]:
        """Return an event that a function has kept."""

        def look() -> object:
            item = self.aws.dynamodb.get_item(TableName=self.table, Key={"pk": {"S": key}})
            return "Item" in item and json.loads(item["Item"]["event"]["S"])

        event = eventually(look, f"the event of {key}")
        assert isinstance(event, dict)
        return event


@pytest.fixture(scope="module")
def authorized(sandbox: SandboxInfo) -> AuthorizedApi:
    return AuthorizedApi(Aws(sandbox))


def test_an_allowed_client_connects_and_its_context_is_in_every_event(
    authorized: AuthorizedApi,
) -> None:
    answer = policy("Allow", context={"team": "blue", "level": 3, "admin": True, "share": 0.5})
    with client(authorized.url(), {"X-Answer": answer}) as connection:
        context = ask(connection, "hello")["requestContext"]
        assert isinstance(context, dict)
        name = context["connectionId"]
    contexts = [
        context,
        authorized.kept(f"CONNECT{name}")["requestContext"],
        authorized.kept(f"DISCONNECT{name}")["requestContext"],
    ]
    for each in contexts:
        assert isinstance(each, dict)
        authorizer = each["authorizer"]
        assert isinstance(authorizer.pop("integrationLatency"), int)
        assert authorizer == {
            "principalId": "somebody",
            "team": "blue",
            "level": "3",
            "admin": "true",
            "share": "0.5",
        }


def test_the_authorizers_event_is_the_one_that_aws_publishes(authorized: AuthorizedApi) -> None:
    headers = {
        "HeaderAuth1": "headerValue1",
        "Authorization": "Bearer 1",
        "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
        "X-Answer": policy("Allow"),
    }
    with client(authorized.url("?QueryString1=queryValue1"), headers) as connection:
        context = ask(connection, "hello")["requestContext"]
        assert isinstance(context, dict)
    event = authorized.kept(str(context["connectionId"]))
    sent = ("Authorization", "User-Agent", "X-Answer")
    more = {
        f"{kind}.{name}": "this client sends it"
        for kind in ("headers", "multiValueHeaders")
        for name in sent
    }
    agent = {"requestContext.identity.userAgent": "this client names itself, the sample's does not"}
    assert_same_shape(event, sample("websocket_authorizer"), extra=more | agent)
    arn = f"{authorized.aws.execution_arn(authorized.api)}/live/$connect"
    assert event["methodArn"] == arn
    assert event["queryStringParameters"] == {"QueryString1": "queryValue1"}
    # The function of `$connect` sees the header, too.
    connect = authorized.kept(f"CONNECT{context['connectionId']}")["headers"]
    assert isinstance(connect, dict)
    assert connect["Authorization"] == "Bearer 1"


def test_a_client_without_an_identity_source_is_unauthorized_and_no_function_runs(
    authorized: AuthorizedApi,
) -> None:
    before = authorized.runs()
    assert authorized.status({}) == (401, "Unauthorized")
    assert authorized.status({"X-Answer": ""}) == (401, "Unauthorized")
    several = authorized.authorize(SOURCE, "route.request.querystring.who")
    with authorized.using(several):
        assert authorized.status({"X-Answer": "{}"}) == (401, "Unauthorized")
        assert authorized.status({"X-Answer": "{}"}, "?who=") == (401, "Unauthorized")
    absent = authorized.authorize("stageVariables.colour")
    with authorized.using(absent):
        assert authorized.status({"X-Answer": "{}"}) == (401, "Unauthorized")
    assert authorized.runs() == before


def test_identity_sources_are_headers_query_stage_variables_and_context(
    authorized: AuthorizedApi,
) -> None:
    aws = authorized.aws
    aws.apis.update_stage(ApiId=authorized.api, StageName="live", StageVariables={"shape": "round"})
    role = aws.role({"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"})
    sources = (
        "route.request.header.x-answer",
        "route.request.querystring.who",
        "stageVariables.shape",
        "context.identity.sourceIp",
        "context.apiId",
    )
    with authorized.using(authorized.authorize(*sources, credentials=role)):
        headers = {"X-Answer": policy("Allow")}
        with client(authorized.url("?who=me"), headers) as connection:
            assert ask(connection, "hello")["body"] == "hello"


def test_a_policy_that_denies_or_does_not_allow_refuses(authorized: AuthorizedApi) -> None:
    arn = authorized.aws.execution_arn(authorized.api)
    for answer in (
        policy("Deny"),
        policy("Allow", resource=f"{arn}/other/$connect"),
        policy("Allow", resource=f"{arn}/live/GET/*"),
    ):
        assert authorized.status({"X-Answer": answer}) == (403, "Forbidden")
    for allowed in (f"{arn}/*", f"{arn}/live/$*", "*"):
        with client(authorized.url(), {"X-Answer": policy("Allow", resource=allowed)}):
            pass


def test_a_broken_authorizer_is_an_internal_error(authorized: AuthorizedApi) -> None:
    broken = (
        "raise no",
        "null",
        "{}",
        '{"principalId": "somebody"}',
        '{"principalId": "somebody", "policyDocument": {"Statement": []}}',
        policy("Allow").replace("principalId", "principal"),
        policy("Perhaps"),
        policy("Allow", context={"list": [1]}),
        policy("Allow", context="text"),
    )
    for answer in broken:
        assert authorized.status({"X-Answer": answer}) == (500, "Internal server error"), answer


def test_an_answer_of_more_than_8_kb_is_an_internal_error(authorized: AuthorizedApi) -> None:
    # The function writes the ARN in the place of `ARN`, so its answer is longer than the header.
    for count, is_refused in ((50, False), (200, True)):
        headers = {"X-Answer": policy("Allow", context={"long": "ARN" * count})}
        if is_refused:
            assert authorized.status(headers) == (500, "Internal server error")
        else:
            with client(authorized.url(), headers):
                pass


def test_a_function_may_say_that_a_client_is_unauthorized(authorized: AuthorizedApi) -> None:
    assert authorized.status({"X-Answer": "raise Unauthorized"}) == (401, "Unauthorized")


def test_an_authorizer_without_permission_to_run_is_an_internal_error(
    authorized: AuthorizedApi,
) -> None:
    headers = {"X-Answer": policy("Allow")}
    unpermitted = authorized.authorize(SOURCE)
    assert authorized.status(headers) == (500, "Internal server error")
    weak = authorized.aws.role()
    with authorized.using(authorized.authorize(SOURCE, credentials=weak)):
        assert authorized.status(headers) == (500, "Internal server error")
    authorized.aws.apis.delete_authorizer(ApiId=authorized.api, AuthorizerId=unpermitted)
    with authorized.using(unpermitted):
        assert authorized.status(headers) == (500, "Internal server error")


def test_every_connection_asks_the_authorizer_again(authorized: AuthorizedApi) -> None:
    before = authorized.runs()
    for _ in range(3):
        with client(authorized.url(), {"X-Answer": policy("Allow")}) as connection:
            connection.send("hello")
            connection.recv(timeout=PATIENCE)
    assert authorized.runs() == before + 3

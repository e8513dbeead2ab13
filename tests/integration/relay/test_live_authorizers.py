"""A live function authorizes the clients of an HTTP, a REST and a WebSocket API.

Its answers come from the code on this machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.rest_api import RestApi, at, lambda_uri
from terralive_testing.deployers.sandbox import Aws
from terralive_testing.deployers.stage import Stage, deploy
from terralive_testing.drivers.relay_process import RelayProcess, relay_process
from terralive_testing.drivers.websocket_clients import ask, client, upgrade_status
from terralive_testing.machine.waiting import eventually

HEADER = "X-Who"
# The local code allows "friend" and tells the API where it ran. It has never been deployed.
LOCAL = f"""
import os
def handler(event, context):
    headers = {{name.lower(): value for name, value in event.get("headers", {{}}).items()}}
    who = headers.get("{HEADER.lower()}") or event.get("authorizationToken")
    if who == "error":
        raise ValueError("broken on this machine")
    statement = {{
        "Action": "execute-api:Invoke",
        "Effect": "Allow" if who == "friend" else "Deny",
        "Resource": event.get("routeArn") or event["methodArn"],
    }}
    return {{
        "principalId": who,
        "policyDocument": {{"Version": "2012-10-17", "Statement": [statement]}},
        "context": {{"ran": "on this machine", "pid": os.getpid()}},
    }}
"""
ECHO = """
import json
def handler(event, context):
    return {"statusCode": 200, "body": json.dumps(event["requestContext"].get("authorizer"))}
"""


@dataclass(frozen=True, slots=True)
class Apis:
    """Three APIs whose clients one live function authorizes."""

    aws: Aws
    stage: Stage
    http: str
    rest: str
    websocket: str

    def ask_http(self, who: str) -> httpx.Response:
        address = at(self.aws, self.http, "$default", "/pets")
        return httpx.get(address, headers={HEADER: who}, timeout=60)

    def ask_rest(self, who: str) -> httpx.Response:
        address = at(self.aws, self.rest, "dev", "/pets")
        return httpx.get(address, headers={HEADER: who}, timeout=60)

    def websocket_url(self) -> str:
        return self.aws.info.websocket_url.format(api=self.websocket, stage="live")


@pytest.fixture(scope="module")
def apis(sandbox: SandboxInfo, tmp_path_factory: pytest.TempPathFactory) -> Apis:
    aws = Aws(sandbox)
    stage = deploy(aws, tmp_path_factory.mktemp("zips"), {"authorizer": 20})
    live = stage.arns["authorizer"]
    echo = aws.function(ECHO)
    # An HTTP API, with payload format 2.0.
    http = aws.http_api(echo, "GET /pets")
    authorizer = aws.apis.create_authorizer(
        ApiId=http,
        AuthorizerType="REQUEST",
        AuthorizerUri=lambda_uri(aws, live),
        AuthorizerPayloadFormatVersion="2.0",
        IdentitySource=[f"$request.header.{HEADER}"],
        Name="live",
    )["AuthorizerId"]
    [route] = aws.apis.get_routes(ApiId=http)["Items"]
    aws.apis.update_route(
        ApiId=http,
        RouteId=route["RouteId"],
        AuthorizationType="CUSTOM",
        AuthorizerId=authorizer,
    )
    aws.allow(live, "apigateway.amazonaws.com", f"{aws.execution_arn(http)}/authorizers/*")
    # A REST API, with a TOKEN authorizer.
    rest = RestApi(aws)
    token = aws.rest.create_authorizer(
        restApiId=rest.id,
        name="live",
        type="TOKEN",
        authorizerUri=lambda_uri(aws, live),
        identitySource=f"method.request.header.{HEADER}",
        authorizerResultTtlInSeconds=0,
    )["id"]
    rest.method(
        "GET", "/pets", lambda_uri(aws, echo), authorizationType="CUSTOM", authorizerId=token
    )
    rest.deploy()
    aws.allow(echo, "apigateway.amazonaws.com", f"{aws.execution_arn(rest.id)}/*/*")
    aws.allow(live, "apigateway.amazonaws.com", f"{aws.execution_arn(rest.id)}/authorizers/*")
    # A WebSocket API.
    websocket = aws.websocket_api(echo, "$connect", "$default", replies=True)
    aws.authorize_connect(websocket, live, HEADER)
    return Apis(aws, stage, http, rest.id, websocket)


@pytest.fixture(scope="module")
def relay(apis: Apis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    code = tmp_path_factory.mktemp("local")
    (code / "app.py").write_text(LOCAL)
    with relay_process(apis.aws.info, apis.stage, code, apis.aws.caller_arn) as relay:
        yield relay


def started(relay: RelayProcess, summary: str) -> int:
    """Return how many questions to the authorizer the relay has shown with this text."""
    shown = relay.of_type("InvocationStarted", trigger="authorizer", summary=summary)
    return len(shown)


def assert_started(relay: RelayProcess, summary: str, times: int) -> None:
    """Assert how many questions there were. The relay shows them a moment later."""
    eventually(lambda: started(relay, summary) >= times)
    assert started(relay, summary) == times


def test_local_code_authorizes_the_clients_of_an_http_api(apis: Apis, relay: RelayProcess) -> None:
    context = apis.ask_http("friend").json()["lambda"]
    assert context["ran"] == "on this machine"
    assert isinstance(context["pid"], int), "an HTTP API keeps the types of a context"
    refused = apis.ask_http("stranger")
    assert (refused.status_code, refused.json()) == (403, {"message": "Forbidden"})
    eventually(lambda: started(relay, "GET /pets") >= 2)


def test_local_code_authorizes_the_clients_of_a_rest_api(apis: Apis, relay: RelayProcess) -> None:
    context = apis.ask_rest("friend").json()
    assert (context["principalId"], context["ran"]) == ("friend", "on this machine")
    assert context["pid"].isdigit(), "a REST API makes text of a context"
    assert apis.ask_rest("stranger").status_code == 403
    eventually(lambda: started(relay, "GET /pets") >= 2)


def test_local_code_authorizes_the_clients_of_a_websocket_api(
    apis: Apis, relay: RelayProcess
) -> None:
    with client(apis.websocket_url(), {HEADER: "friend"}) as connection:
        for _ in range(2):
            context = ask(connection, "hello")
            assert (context["principalId"], context["ran"]) == ("friend", "on this machine")
    assert upgrade_status(apis.websocket_url(), {HEADER: "stranger"}) == 403
    assert_started(relay, "$connect", 2)


def test_an_error_of_the_local_authorizer_lets_nobody_pass(apis: Apis, relay: RelayProcess) -> None:
    assert apis.ask_http("error").status_code == 500
    assert apis.ask_rest("error").json() == {"message": None}
    assert upgrade_status(apis.websocket_url(), {HEADER: "error"}) == 500
    # The relay shows them a moment later.
    eventually(lambda: len(relay.of_type("InvocationFinished", ok=False)) >= 3)
    assert len(relay.of_type("InvocationFinished", ok=False)) == 3


def test_with_nobody_connected_an_authorizer_lets_nobody_pass(
    sandbox: SandboxInfo, tmp_path: Path
) -> None:
    """The stub's 503 for HTTP callers is no answer of an authorizer: it must not be sent here."""
    aws = Aws(sandbox)
    stage = deploy(aws, tmp_path, {"authorizer": 20})
    for event in (
        {"type": "TOKEN", "methodArn": "arn", "authorizationToken": "friend"},
        {
            "type": "REQUEST",
            "routeArn": "arn",
            "requestContext": {"http": {"method": "GET", "path": "/"}},
        },
    ):
        answer = aws.lambda_.invoke(
            FunctionName=stage.functions["authorizer"], Payload=json.dumps(event).encode()
        )
        assert answer.get("FunctionError"), "an error, so that API Gateway answers 500"
        error = json.loads(answer["Payload"].read())
        assert error["errorType"] == "Terralive.NoRelay"

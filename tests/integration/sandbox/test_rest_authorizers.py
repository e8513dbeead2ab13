"""Lambda authorizers of REST APIs, as a client and the functions see them.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.authorizers import AuthorizerFunction, policy
from terralive_testing.deployers.rest_api import RestApi, lambda_uri
from terralive_testing.deployers.sandbox import Aws, unique
from terralive_testing.oracles.samples import assert_same_shape, sample

ECHO = """
import json
def handler(event, context):
    return {"statusCode": 200, "body": json.dumps(event)}
"""
TOKEN = "method.request.header.X-Token"
UNAUTHORIZED = (401, {"message": "Unauthorized"}, "UnauthorizedException")
NOT_ALLOWED = (
    403,
    {"Message": "User is not authorized to access this resource"},
    "AccessDeniedException",
)
DENIED = (
    403,
    {
        "Message": "User is not authorized to access this resource with an explicit deny in an "
        "identity-based policy"
    },
    "AccessDeniedException",
)
FAILED = (500, {"message": None}, "AuthorizerConfigurationException")


class AuthorizedApi:
    """A REST API whose methods have one authorizer."""

    def __init__(self, aws: Aws, echo: str, function: AuthorizerFunction) -> None:
        self.aws = aws
        self.function = function
        self._echo = echo
        self.rest = RestApi(aws)
        aws.allow(echo, "apigateway.amazonaws.com", f"{aws.execution_arn(self.rest.id)}/*/*")

    def authorizer(self, kind: str, *, permit: bool = True, **settings: Any) -> str:  # noqa: ANN401 - boto3's own
        """Create an authorizer of the function. Return its id."""
        settings.setdefault("identitySource", TOKEN)
        authorizer = self.aws.rest.create_authorizer(
            restApiId=self.rest.id,
            name=unique("authorizer"),
            type=kind,  # type: ignore[arg-type] # a literal type
            authorizerUri=lambda_uri(self.aws, self.function.arn),
            **settings,
        )["id"]
        if permit:
            self.function.allow(self.rest.id, authorizer)
        return authorizer

    def deploy(self, authorizer: str) -> None:
        """Deploy `GET /pets/{id}`, `POST /pets` and `GET /` with an authorizer."""
        for method, path in (("GET", "/pets/{id}"), ("POST", "/pets"), ("GET", "/")):
            self.rest.method(
                method,
                path,
                lambda_uri(self.aws, self._echo),
                authorizationType="CUSTOM",
                authorizerId=authorizer,
            )
        self.rest.deploy("live", {"StageVar1": "stageValue1"})

    def ask(self, path: str = "/pets/1", token: str = "", method: str = "GET") -> httpx.Response:
        headers = {"HeaderAuth1": "headerValue1"}
        if token:
            headers["X-Token"] = token
        return self.rest.ask(method, path, "live", headers=headers)

    def refusal(self, path: str = "/pets/1", token: str = "", method: str = "GET") -> object:
        """Return the status, the body and the error type with which API Gateway refuses."""
        answer = self.ask(path, token, method)
        return answer.status_code, answer.json(), answer.headers["x-amzn-errortype"]


@pytest.fixture(scope="module")
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


@pytest.fixture(scope="module")
def functions(aws: Aws) -> tuple[str, AuthorizerFunction]:
    return aws.function(ECHO), AuthorizerFunction(aws)


@pytest.fixture
def api(aws: Aws, functions: tuple[str, AuthorizerFunction]) -> AuthorizedApi:
    return AuthorizedApi(aws, *functions)


@pytest.mark.parametrize("kind", ["TOKEN", "REQUEST"])
def test_an_allowed_client_reaches_the_function_with_the_context(
    api: AuthorizedApi, kind: str
) -> None:
    api.deploy(api.authorizer(kind, authorizerResultTtlInSeconds=0))
    token = policy("Allow", context={"team": "blue", "level": 3, "admin": True})
    context = api.ask(token=token).json()["requestContext"]["authorizer"]
    assert isinstance(context.pop("integrationLatency"), int)
    assert context == {"principalId": "somebody", "team": "blue", "level": "3", "admin": "true"}


def test_a_token_authorizer_gets_the_token_and_the_method(api: AuthorizedApi) -> None:
    api.deploy(api.authorizer("TOKEN"))
    token = policy("Allow", resource="*")
    with api.function.runs() as events:
        assert api.ask("/pets/a%20b", token).status_code == 200
    arn = f"{api.aws.execution_arn(api.rest.id)}/live/GET/pets/a%20b"
    assert events == [{"type": "TOKEN", "authorizationToken": token, "methodArn": arn}]


def test_a_request_authorizers_event_is_the_one_that_aws_publishes(api: AuthorizedApi) -> None:
    api.deploy(api.authorizer("REQUEST"))
    with api.function.runs() as events:
        assert api.ask("/?QueryString1=queryValue1", policy("Allow")).status_code == 200
    [event] = events
    published = sample("apigateway-rest-authorizer")
    for part in ("headers", "requestContext"):
        ours, theirs = event[part], published[part]
        assert isinstance(ours, dict)
        assert isinstance(theirs, dict)
        sent = {"X-AMZ-Date", "cache-control", "Content-Type", "Accept", "Accept-Encoding"}
        missing = {name.lower() for name in theirs.keys() - sent} - {n.lower() for n in ours}
        assert missing == set(), "the client has not sent the others"
    more = {
        "multiValueHeaders": "as in every event of a proxy integration",
        "multiValueQueryStringParameters": "as in every event of a proxy integration",
    }
    assert_same_shape(
        {**event, "headers": {}, "requestContext": {}},
        {**published, "headers": {}, "requestContext": {}},
        extra=more,
    )
    assert event["methodArn"] == f"{api.aws.execution_arn(api.rest.id)}/live/GET/"
    context = event["requestContext"]
    assert isinstance(context, dict)
    assert "authorizer" not in context


def test_a_client_without_a_valid_token_is_unauthorized_and_no_function_runs(
    api: AuthorizedApi,
) -> None:
    api.deploy(api.authorizer("TOKEN", identityValidationExpression=r"\{.*\}"))
    with api.function.runs() as events:
        assert api.refusal() == UNAUTHORIZED
        assert api.refusal(token="Bearer x") == UNAUTHORIZED
        assert api.refusal(token="x {} x") == UNAUTHORIZED
    assert events == []
    assert api.ask(token=policy("Allow")).status_code == 200


def test_a_client_without_an_identity_source_is_unauthorized(api: AuthorizedApi) -> None:
    sources = f"{TOKEN}, method.request.querystring.who,stageVariables.StageVar1, context.stage"
    api.deploy(api.authorizer("REQUEST", identitySource=sources))
    with api.function.runs() as events:
        for path, token in (("/pets/1", "{}"), ("/pets/1?who=", "{}"), ("/pets/1?who=me", "")):
            assert api.refusal(path, token) == UNAUTHORIZED
    assert events == []
    assert api.ask("/pets/1?who=me", policy("Allow")).status_code == 200


def test_a_policy_decides_about_each_method(api: AuthorizedApi) -> None:
    api.deploy(api.authorizer("TOKEN", authorizerResultTtlInSeconds=0))
    arn = f"{api.aws.execution_arn(api.rest.id)}/live"
    only_pets = policy("Allow", resource=f"{arn}/GET/pets/*")
    assert api.ask("/pets/1", only_pets).status_code == 200
    assert api.refusal("/pets", only_pets, "POST") == NOT_ALLOWED
    assert api.refusal("/", only_pets) == NOT_ALLOWED
    assert api.refusal("/", policy("Deny")) == DENIED
    assert api.ask("/pets", policy("Allow", resource=f"{arn}/*"), "POST").status_code == 200


@pytest.mark.parametrize("kind", ["TOKEN", "REQUEST"])
def test_a_broken_authorizer_is_a_configuration_error(api: AuthorizedApi, kind: str) -> None:
    api.deploy(api.authorizer(kind))
    for token in ("raise no", "null", "{}", policy("Allow", context={"list": []})):
        assert api.refusal(token=token) == FAILED
    assert api.refusal(token="raise Unauthorized") == UNAUTHORIZED


def test_an_authorizer_needs_permission_to_run(api: AuthorizedApi) -> None:
    may = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": api.function.arn}
    role = api.aws.role(may)
    api.deploy(api.authorizer("TOKEN", permit=False))
    assert api.refusal(token=policy("Allow")) == FAILED
    other = AuthorizedApi(api.aws, api._echo, api.function)
    other.deploy(other.authorizer("TOKEN", permit=False, authorizerCredentials=role))
    assert other.ask(token=policy("Allow")).status_code == 200


def test_a_policy_is_kept_for_the_whole_api(api: AuthorizedApi) -> None:
    # The default is 300 s.
    api.deploy(api.authorizer("TOKEN"))
    everything = policy("Allow", resource="*")
    with api.function.runs() as events:
        for path, method in (("/pets/1", "GET"), ("/pets/2", "GET"), ("/pets", "POST")):
            assert api.ask(path, everything, method).status_code == 200
    assert len(events) == 1
    one_method = policy("Allow")
    assert api.ask("/pets/1", one_method).status_code == 200
    assert api.refusal("/pets/2", one_method) == NOT_ALLOWED
    other = AuthorizedApi(api.aws, api._echo, api.function)
    other.deploy(other.authorizer("TOKEN", authorizerResultTtlInSeconds=0))
    for path in ("/pets/1", "/pets/2"):
        assert other.ask(path, one_method).status_code == 200


def test_a_changed_authorizer_shows_after_the_next_deployment(api: AuthorizedApi) -> None:
    authorizer = api.authorizer("TOKEN", authorizerResultTtlInSeconds=0)
    api.deploy(authorizer)
    api.aws.rest.update_authorizer(
        restApiId=api.rest.id,
        authorizerId=authorizer,
        patchOperations=[
            {"op": "replace", "path": "/identityValidationExpression", "value": "never"}
        ],
    )
    assert api.ask(token=policy("Allow")).status_code == 200
    api.rest.redeploy("live")
    assert api.refusal(token=policy("Allow")) == UNAUTHORIZED


def test_a_resource_policy_is_decided_together_with_the_authorizers(api: AuthorizedApi) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-authorization-flow.html."""
    api.deploy(api.authorizer("TOKEN", authorizerResultTtlInSeconds=0))

    def resource_policy(effect: str, resource: str) -> None:
        statement = (
            f'{{"Effect": "{effect}", "Principal": "*", "Action": "execute-api:Invoke", '
            f'"Resource": "execute-api:/live/{resource}"}}'
        )
        api.aws.rest.update_rest_api(
            restApiId=api.rest.id,
            patchOperations=[
                {"op": "replace", "path": "/policy", "value": f'{{"Statement": [{statement}]}}'}
            ],
        )
        api.rest.redeploy("live")

    silent = policy("Allow", resource="arn:aws:execute-api:*:*:other/*")
    # An explicit deny of the resource policy comes before the function.
    resource_policy("Deny", "GET/pets/*")
    with api.function.runs() as events:
        assert api.ask("/pets/1", policy("Allow")).status_code == 403
    assert events == []
    assert api.ask("/", policy("Allow")).status_code == 200
    # One of the two policies has to allow, and none may deny.
    resource_policy("Allow", "GET/*")
    assert api.ask("/pets/1", silent).status_code == 200
    assert api.refusal("/pets", silent, "POST") == NOT_ALLOWED
    assert api.refusal("/pets/1", policy("Deny")) == DENIED


def test_an_authorizer_without_an_identity_source_is_refused(api: AuthorizedApi) -> None:
    for kind, ttl in (("TOKEN", 0), ("REQUEST", 1)):
        with pytest.raises(ClientError, match="BadRequestException"):
            api.authorizer(kind, identitySource="", authorizerResultTtlInSeconds=ttl)
    api.deploy(api.authorizer("REQUEST", identitySource="", authorizerResultTtlInSeconds=0))
    assert api.ask(token=policy("Allow")).status_code == 200

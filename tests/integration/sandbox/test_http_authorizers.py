"""Lambda authorizers of HTTP APIs, as a client and the functions see them.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from joserfc import jwt
from joserfc.jwk import OctKey

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.authorizers import AuthorizerFunction, policy
from terralive_testing.deployers.rest_api import at, fetch, lambda_uri
from terralive_testing.deployers.sandbox import Aws, unique
from terralive_testing.machine.waiting import eventually
from terralive_testing.oracles.samples import assert_same_shape, sample
from terralive_testing.servers.issuer import Issuer, running_issuer

ECHO = """
import json
def handler(event, context):
    return {"statusCode": 200, "body": json.dumps(event)}
"""
ROUTES = ("GET /pets/{id}", "POST /pets", "GET /old")
TOKEN = "$request.header.X-Token"


class AuthorizedApi:
    """An HTTP API with one authorizer. The integration of `GET /old` has payload format 1.0."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.function = AuthorizerFunction(aws)
        echo = aws.function(ECHO)
        self.id = aws.http_api(echo, *ROUTES, stage="live")
        old = aws.apis.create_integration(
            ApiId=self.id,
            IntegrationType="AWS_PROXY",
            IntegrationUri=echo,
            PayloadFormatVersion="1.0",
        )["IntegrationId"]
        self._routes = {
            route["RouteKey"]: route["RouteId"]
            for route in aws.apis.get_routes(ApiId=self.id)["Items"]
        }
        aws.apis.update_route(
            ApiId=self.id, RouteId=self._routes["GET /old"], Target=f"integrations/{old}"
        )

    def authorize(self, *sources: str, permit: bool = True, **settings: Any) -> str:  # noqa: ANN401 - boto3's own
        """Give all routes a new authorizer with these identity sources. Return its id."""
        settings.setdefault("AuthorizerPayloadFormatVersion", "2.0")
        authorizer = self.aws.apis.create_authorizer(
            ApiId=self.id,
            AuthorizerType="REQUEST",
            AuthorizerUri=lambda_uri(self.aws, self.function.arn),
            IdentitySource=list(sources),
            Name=unique("authorizer"),
            **settings,
        )["AuthorizerId"]
        if permit:
            self.function.allow(self.id, authorizer)
        self.use(authorizer)
        return authorizer

    def use(self, authorizer: str, kind: str = "CUSTOM") -> None:
        """Let all routes use an authorizer."""
        for route in self._routes.values():
            self.aws.apis.update_route(
                ApiId=self.id,
                RouteId=route,
                AuthorizationType=kind,  # type: ignore[arg-type] # a literal type
                AuthorizerId=authorizer,
            )

    def ask(
        self,
        path: str = "/pets/1",
        token: str = "",
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        sent = dict(headers or {})
        if token:
            sent["X-Token"] = token
        return fetch(method, at(self.aws, self.id, "live", path), headers=sent)


@pytest.fixture(scope="module")
def api(sandbox: SandboxInfo) -> AuthorizedApi:
    return AuthorizedApi(Aws(sandbox))


def authorizer_of(answer: httpx.Response) -> object:
    return answer.json()["requestContext"]["authorizer"]


def simple(*, is_authorized: bool, **context: object) -> str:
    return json.dumps({"isAuthorized": is_authorized, "context": context})


CONTEXT: Mapping[str, object] = {
    "stringKey": "value",
    "numberKey": 1,
    "booleanKey": True,
    "arrayKey": ["value1", "value2"],
    "mapKey": {"value1": "value2"},
}


def test_a_policy_allows_a_route_and_its_context_reaches_the_integration(
    api: AuthorizedApi,
) -> None:
    api.authorize(TOKEN)
    token = policy("Allow", context=CONTEXT)
    assert authorizer_of(api.ask(token=token)) == {"lambda": CONTEXT}
    assert authorizer_of(api.ask(token=policy("Allow"))) == {"lambda": None}
    old = authorizer_of(api.ask("/old", token))
    assert isinstance(old, dict)
    assert isinstance(old.pop("integrationLatency"), int)
    assert old == {**CONTEXT, "principalId": "somebody"}


def test_a_simple_response_allows_or_forbids(api: AuthorizedApi) -> None:
    api.authorize(TOKEN, EnableSimpleResponses=True)
    assert authorizer_of(api.ask(token=simple(is_authorized=True, who="me"))) == {
        "lambda": {"who": "me"}
    }
    answer = api.ask(token=simple(is_authorized=False))
    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})
    # A policy is no simple response.
    answer = api.ask(token=policy("Allow"))
    assert (answer.status_code, answer.json()) == (500, {"message": "Internal Server Error"})


def test_the_authorizers_events_are_those_that_aws_publishes(api: AuthorizedApi) -> None:
    api.aws.apis.update_stage(
        ApiId=api.id,
        StageName="live",
        StageVariables={"stageVariable1": "value1", "stageVariable2": "value2", "StageVar1": "v"},
    )
    query = "parameter1=value1&parameter1=value2&parameter2=value&QueryString1=queryValue1"
    sources = (TOKEN, "$request.querystring.parameter2")
    api.authorize(*sources)
    headers = {"header1": "value1", "header2": "value2", "Cookie": "cookie1; cookie2"}
    with api.function.runs() as events:
        assert api.ask(f"/pets/a%20b?{query}", policy("Allow"), headers=headers).status_code == 200
    [event] = events
    own = ("accept", "accept-encoding", "connection", "content-length", "user-agent", "x-token")
    client = "the client sends it, the sample's does not"
    gateway = {
        f"headers.{name}": "API Gateway adds it to every request"
        for name in ("host", "x-amzn-trace-id", *(f"x-forwarded-{n}" for n in FORWARDED))
    }
    more = {f"headers.{name}": client for name in own if name in headers_of(event)} | gateway
    renamed = {"pathParameters.parameter1": "the route's parameter has another name"}
    assert_same_shape(
        event,
        sample("apigateway-http-authorizer-2.0"),
        absent=renamed,
        extra={
            **more,
            "pathParameters.id": "the route's parameter has another name",
            "queryStringParameters.QueryString1": client,
            "stageVariables.StageVar1": "another sample has it",
        },
    )
    arn = f"{api.aws.execution_arn(api.id)}/live/GET/pets/a%20b"
    assert event["routeArn"] == arn
    assert event["identitySource"] == [policy("Allow"), "value"]
    # Format 1.0 of the same request.
    api.authorize(*sources, AuthorizerPayloadFormatVersion="1.0")
    with api.function.runs() as events:
        assert api.ask(f"/pets/a%20b?{query}", policy("Allow"), headers=headers).status_code == 200
    [event] = events
    assert event["methodArn"] == arn
    assert event["identitySource"] == f"{policy('Allow')},value"
    assert event["authorizationToken"] == event["identitySource"]
    context = event["requestContext"]
    assert isinstance(context, dict)
    published = sample("apigateway-http-authorizer-1.0")
    assert event.keys() >= published.keys()
    assert "authorizer" not in context
    assert "body" not in event
    published_context = published["requestContext"]
    assert isinstance(published_context, dict)
    assert context.keys() >= published_context.keys()


FORWARDED = ("for", "port", "proto")


def headers_of(event: Mapping[str, object]) -> dict[str, str]:
    headers = event["headers"]
    assert isinstance(headers, dict)
    return headers


def test_without_an_identity_source_the_client_is_unauthorized_and_no_function_runs(
    api: AuthorizedApi,
) -> None:
    api.authorize(TOKEN, "$request.querystring.who")
    with api.function.runs() as events:
        for answer in (
            api.ask(),
            api.ask(token="x"),
            api.ask("/pets/1?who="),
            api.ask("/pets/1?who=", "x"),
        ):
            assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
    assert events == []
    # An authorizer without identity sources runs for every request.
    api.authorize()
    with api.function.runs() as events:
        assert api.ask().status_code == 500
    assert len(events) == 1
    assert events[0]["identitySource"] is None


def test_a_policy_decides_about_each_route(api: AuthorizedApi) -> None:
    api.authorize(TOKEN)
    arn = f"{api.aws.execution_arn(api.id)}/live"
    only_pets = policy("Allow", resource=f"{arn}/GET/pets/*")
    assert api.ask("/pets/1", only_pets).status_code == 200
    for answer in (
        api.ask("/pets", only_pets, "POST"),
        api.ask("/old", only_pets),
        api.ask("/pets/1", policy("Deny", resource=f"{arn}/*")),
        api.ask("/pets/1", policy("Allow", resource=f"{arn}/POST/pets")),
    ):
        assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})


def test_a_broken_authorizer_is_an_internal_error(api: AuthorizedApi) -> None:
    api.authorize(TOKEN)
    for token in ("raise no", "null", "{}", '{"isAuthorized": true}', policy("Allow", context=[])):
        answer = api.ask(token=token)
        assert (answer.status_code, answer.json()) == (500, {"message": "Internal Server Error"})
    answer = api.ask(token="raise Unauthorized")
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
    api.authorize(TOKEN, permit=False)
    answer = api.ask(token=policy("Allow"))
    assert (answer.status_code, answer.json()) == (500, {"message": "Internal Server Error"})
    may = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": api.function.arn}
    api.authorize(TOKEN, permit=False, AuthorizerCredentialsArn=api.aws.role(may))
    assert api.ask(token=policy("Allow")).status_code == 200


def test_an_answer_is_kept_for_all_routes_of_the_same_identity(api: AuthorizedApi) -> None:
    api.authorize(TOKEN, AuthorizerResultTtlInSeconds=300)
    token = policy("Allow", resource="*", context={"n": unique("n")})
    with api.function.runs() as events:
        for _ in range(3):
            assert api.ask("/pets/1", token).status_code == 200
        old = authorizer_of(api.ask("/old", token))
    assert len(events) == 1
    assert isinstance(old, dict)
    assert old["integrationLatency"] == 0
    # Another identity asks again; so does one that was denied, once.
    with api.function.runs() as events:
        assert api.ask("/pets/1", policy("Allow", resource="*")).status_code == 200
        for _ in range(2):
            assert api.ask("/pets/1", policy("Deny", resource="*")).status_code == 403
    assert len(events) == 2
    # Errors are not kept.
    with api.function.runs() as events:
        for _ in range(2):
            assert api.ask("/pets/1", "raise no").status_code == 500
    assert len(events) == 2


def test_a_policy_for_one_route_is_kept_for_the_others_unless_the_route_is_a_source(
    api: AuthorizedApi,
) -> None:
    api.authorize(TOKEN, AuthorizerResultTtlInSeconds=300)
    token = policy("Allow")
    assert api.ask("/pets/1", token).status_code == 200
    assert api.ask("/old", token).status_code == 403, "the kept policy names the other route"
    api.authorize(TOKEN, "$context.routeKey", AuthorizerResultTtlInSeconds=300)
    with api.function.runs() as events:
        for path in ("/pets/1", "/old", "/pets/1", "/old"):
            assert api.ask(path, token).status_code == 200
    assert len(events) == 2


def test_an_answer_is_kept_for_its_time_only(api: AuthorizedApi) -> None:
    api.authorize(TOKEN, AuthorizerResultTtlInSeconds=1)
    token = policy("Allow", resource="*", context={"n": unique("n")})

    def asks_again() -> bool:
        with api.function.runs() as events:
            assert api.ask("/pets/1", token).status_code == 200
        return bool(events)

    assert asks_again()
    eventually(asks_again, "the end of the second for which the answer is kept")


def test_settings_that_api_gateway_does_not_take_are_refused(api: AuthorizedApi) -> None:
    for source in ("route.request.header.X-Token", "X-Token", "$request.body.x"):
        with pytest.raises(ClientError, match="Invalid identity source"):
            api.authorize(source)
    with pytest.raises(ClientError, match="at least one identity source"):
        api.authorize(AuthorizerResultTtlInSeconds=60)
    authorizer = api.authorize(TOKEN)
    with pytest.raises(ClientError, match="Invalid identity source"):
        api.aws.apis.update_authorizer(
            ApiId=api.id, AuthorizerId=authorizer, IdentitySource=["method.request.header.A"]
        )


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


def use_issuer(api: AuthorizedApi, issuer: str) -> None:
    """Give all routes a new JWT authorizer for the audience `pets`."""
    authorizer = api.aws.apis.create_authorizer(
        ApiId=api.id,
        AuthorizerType="JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Audience": ["pets"], "Issuer": issuer},
        Name=unique("jwt"),
    )["AuthorizerId"]
    api.use(authorizer, "JWT")


def test_a_valid_token_lets_a_client_pass_and_its_claims_reach_the_integration(
    api: AuthorizedApi, issuer: Issuer
) -> None:
    use_issuer(api, issuer.url)
    token = issuer.token(sub="ann", groups=["a", "b"], exp=4102444800)
    expected = {
        "claims": {
            "aud": "pets",
            "exp": "4102444800",
            "groups": "[a b]",
            "iss": issuer.url,
            "sub": "ann",
        },
        "scopes": None,
    }
    for prefix in ("Bearer ", ""):
        answer = api.ask(headers={"Authorization": prefix + token})
        assert authorizer_of(answer) == {"jwt": expected}
    assert authorizer_of(api.ask("/old", headers={"Authorization": token})) == expected


def test_a_token_that_is_not_valid_is_unauthorized_with_the_reason(
    api: AuthorizedApi, issuer: Issuer
) -> None:
    use_issuer(api, issuer.url)
    now = int(time.time())
    header, body, signature = issuer.token().split(".")
    refused = {
        issuer.token(aud="other"): "audience",
        issuer.token(aud=None): "audience",
        issuer.token(iss="http://127.0.0.1:1"): "issuer",
        issuer.token(exp=now - 1): "expired",
        issuer.token(exp=None): "expired",
        issuer.token(nbf=now + 600): "not valid yet",
        issuer.token(kid="second"): "kid",
        f"{header}.{body}.{signature[:-8]}AAAAAAAA": "signature",
        jwt.encode(
            {"alg": "HS256", "kid": "first"}, {"aud": "pets"}, OctKey.import_key("k" * 32)
        ): ("signing method"),
        "token": "decoded",
    }
    for token, reason in refused.items():
        answer = api.ask(headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"}), reason
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith('Bearer scope="" error="invalid_token"')
        assert reason in challenge
    missing = api.ask()
    assert (missing.status_code, missing.headers["www-authenticate"]) == (401, "Bearer")


def test_a_token_needs_one_of_the_scopes_of_its_route(api: AuthorizedApi, issuer: Issuer) -> None:
    use_issuer(api, issuer.url)
    (route,) = (
        found["RouteId"]
        for found in api.aws.apis.get_routes(ApiId=api.id)["Items"]
        if found["RouteKey"] == "POST /pets"
    )
    api.aws.apis.update_route(ApiId=api.id, RouteId=route, AuthorizationScopes=["read", "write"])

    def ask(**claims: Any) -> httpx.Response:  # noqa: ANN401 - any claims
        return api.ask("/pets", method="POST", headers={"Authorization": issuer.token(**claims)})

    lacking = ask(scope="readers")
    assert (lacking.status_code, lacking.json()) == (403, {"message": "Forbidden"})
    assert 'error="insufficient_scope"' in lacking.headers["www-authenticate"]
    assert ask().status_code == 403
    assert ask(scope="write other").status_code == 200
    assert ask(scp=["read"]).status_code == 200
    assert ask(aud=None, client_id="pets", scope="read").status_code == 200


def test_a_user_pool_of_the_sandbox_is_an_issuer(api: AuthorizedApi) -> None:
    pools: Any = api.aws._client("cognito-idp")
    pool = pools.create_user_pool(PoolName="pool")["UserPool"]["Id"]
    client = pools.create_user_pool_client(
        UserPoolId=pool, ClientName="c", ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    pools.admin_create_user(UserPoolId=pool, Username="ann", MessageAction="SUPPRESS")
    pools.admin_set_user_password(
        UserPoolId=pool, Username="ann", Password="Secret-123", Permanent=True
    )
    tokens = pools.admin_initiate_auth(
        UserPoolId=pool,
        ClientId=client,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "ann", "PASSWORD": "Secret-123"},
    )["AuthenticationResult"]
    address = f"https://cognito-idp.{api.aws.info.region}.amazonaws.com/{pool}"
    authorizer = api.aws.apis.create_authorizer(
        ApiId=api.id,
        AuthorizerType="JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Audience": [client], "Issuer": address},
        Name=unique("jwt"),
    )["AuthorizerId"]
    api.use(authorizer, "JWT")
    answer = api.ask("/old", headers={"Authorization": tokens["IdToken"]})
    assert answer.status_code == 200, answer.headers


def test_an_issuer_that_cannot_be_asked_authorizes_nobody(
    api: AuthorizedApi, issuer: Issuer
) -> None:
    for url, status in (("http://127.0.0.1:1", 401), ("https://issuer.example", 501)):
        use_issuer(api, url)
        answer = api.ask("/old", headers={"Authorization": issuer.token(iss=url)})
        assert answer.status_code == status

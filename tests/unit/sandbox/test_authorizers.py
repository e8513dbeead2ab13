"""Lambda authorizers: identity sources, and answers of functions.

The pages are named in the modules under test.
"""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_sandbox.apigateway.authorizers import decisions, identity_sources
from terralive_sandbox.apigateway.authorizers.cache import AnswerCache, CacheKey
from terralive_sandbox.apigateway.authorizers.decisions import AuthorizerError, AuthorizerFailure
from terralive_sandbox.apigateway.authorizers.identity_sources import RequestParts
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError

PARTS = RequestParts(
    headers=(("X-Auth", "token"), ("X-Empty", ""), ("x-auth", "second")),
    query="who=me&who=you&none=",
    stage_variables={"shape": "round"},
    context={"identity": {"sourceIp": "127.0.0.1"}, "apiId": "abc", "connectedAt": 5},
)
ARN = "arn:aws:execute-api:us-east-1:123456789012:abc/live/$connect"


@pytest.mark.parametrize("prefix", ["$", "route.", "method."])
def test_every_kind_of_api_names_headers_and_parameters_in_its_own_way(prefix: str) -> None:
    sources = (f"{prefix}request.header.x-auth", f"{prefix}request.querystring.who")
    assert identity_sources.values_of(sources, PARTS) == ("token", "you")


@pytest.mark.parametrize("prefix", ["", "$"])
def test_stage_variables_and_context_are_identity_sources(prefix: str) -> None:
    names = ("stageVariables.shape", "context.identity.sourceIp", "context.connectedAt")
    sources = [prefix + name for name in names]
    assert identity_sources.values_of(sources, PARTS) == ("round", "127.0.0.1", "5")


@pytest.mark.parametrize(
    "source",
    [
        "route.request.header.X-Absent",
        "route.request.header.X-Empty",
        "route.request.querystring.none",
        "route.request.querystring.absent",
        "stageVariables.absent",
        "context.identity",
        "context.identity.absent",
        "context.apiId.more",
        "",
    ],
)
def test_one_missing_identity_source_is_enough(source: str) -> None:
    assert identity_sources.values_of(["route.request.header.X-Auth", source], PARTS) is None


def test_an_authorizer_without_identity_sources_takes_every_request() -> None:
    assert identity_sources.values_of([], PARTS) == ()


def answer(*statements: dict[str, object], **others: object) -> bytes:
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    return json.dumps({"principalId": "me", "policyDocument": document, **others}).encode()


def statement(effect: str, resource: str) -> dict[str, object]:
    return {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}


ALLOW = statement("Allow", "*")


def test_a_policy_decides_about_one_route() -> None:
    decisions.policy_with_texts(answer(ALLOW)).check(ARN, "127.0.0.1")
    for statements, failure in (
        ([statement("Allow", f"{ARN}/other")], AuthorizerFailure.NOT_ALLOWED),
        ([{**ALLOW, "Action": "execute-api:ManageConnections"}], AuthorizerFailure.NOT_ALLOWED),
        ([ALLOW, statement("Deny", ARN)], AuthorizerFailure.DENIED),
    ):
        with pytest.raises(AuthorizerError) as refused:
            decisions.policy_with_texts(answer(*statements)).check(ARN, "127.0.0.1")
        assert refused.value.failure is failure


def test_a_policy_may_name_the_clients_address() -> None:
    condition = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    read = decisions.policy_with_texts(answer({**ALLOW, "Condition": condition}))
    read.check(ARN, "10.1.2.3")
    with pytest.raises(AuthorizerError):
        read.check(ARN, "127.0.0.1")


def test_the_fields_of_an_authorizer_are_texts_beside_its_principal() -> None:
    context = {"text": "a", "number": 1, "share": 1.5, "no": False, "principalId": "other"}
    read = decisions.policy_with_texts(answer(ALLOW, context=context))
    assert dataclasses.replace(read, latency=7).fields() == {
        "text": "a",
        "number": "1",
        "share": "1.5",
        "no": "false",
        "principalId": "me",
        "integrationLatency": 7,
    }


@pytest.mark.parametrize(
    "broken",
    [
        b"no JSON",
        b"[]",
        json.dumps({"principalId": "me"}).encode(),
        json.dumps({"principalId": "me", "policyDocument": "text"}).encode(),
        answer(),
        answer(ALLOW, principalId=None),
        answer(ALLOW, principalId=True),
        answer(statement("allow", "*")),
        answer(ALLOW, context=[]),
        answer(ALLOW, context={"list": []}),
        answer(ALLOW, context={"null": None}),
    ],
)
def test_a_malformed_answer_is_found(broken: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        decisions.policy_with_texts(broken)


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
NAMES = st.sampled_from(["principalId", "policyDocument", "Statement", "Effect", "context", "Deny"])


@given(st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner) | st.lists(inner)))
def test_any_answer_allows_is_malformed_or_is_refused(value: object) -> None:
    try:
        decisions.policy_with_texts(json.dumps(value).encode()).check(ARN, "127.0.0.1")
    except (MalformedAnswerError, AuthorizerError):
        return
    pytest.fail("a policy without an action or a resource allows nothing")


def test_one_error_of_a_function_means_unauthorized() -> None:
    assert decisions.says_unauthorized(b'{"errorMessage": "Unauthorized", "errorType": "E"}')
    for error in (b'{"errorMessage": "unauthorized"}', b"Unauthorized", b"[]"):
        assert not decisions.says_unauthorized(error)


def test_an_http_api_takes_any_context() -> None:
    context = {"list": [1], "map": {"a": None}, "number": 1}
    assert decisions.policy(answer(ALLOW, context=context)).context == context
    simple = {"isAuthorized": True, "context": context}
    assert decisions.simple_response(json.dumps(simple).encode()).context == context


def test_a_simple_response_allows_or_denies_everything() -> None:
    decisions.simple_response(b'{"isAuthorized": true}').check(ARN, "127.0.0.1")
    with pytest.raises(AuthorizerError) as refused:
        decisions.simple_response(b'{"isAuthorized": false}').check(ARN, "127.0.0.1")
    assert refused.value.failure is AuthorizerFailure.DENIED
    for broken in (b"true", b"{}", b'{"isAuthorized": "true"}', answer(ALLOW)):
        with pytest.raises(MalformedAnswerError):
            decisions.simple_response(broken)


def test_an_answer_is_kept_for_one_identity_at_one_stage_until_its_time_is_over() -> None:
    cache = AnswerCache()
    given = dataclasses.replace(decisions.policy(answer(ALLOW)), latency=7)
    key = CacheKey("arn", "live", ("me",))
    cache.keep(key, given, expires=10, now=0)
    kept = cache.find(key, 9.9)
    assert kept == dataclasses.replace(given, latency=0)
    assert cache.find(key, 10) is None
    for other in (
        CacheKey("other", "live", ("me",)),
        CacheKey("arn", "test", ("me",)),
        CacheKey("arn", "live", ("you",)),
    ):
        assert cache.find(other, 0) is None
    cache.keep(CacheKey("arn", "live", ("you",)), given, expires=30, now=20)
    assert cache.find(key, 0) is None, "an answer that is too old is dropped"

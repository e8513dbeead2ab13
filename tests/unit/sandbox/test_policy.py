"""Policy documents are evaluated as IAM does.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from terralive_sandbox.access.policy import AccessRequest, Decision, decide, is_permitted


def decision_for(request: AccessRequest, *statements: Mapping[str, object]) -> Decision:
    return decide([json.dumps({"Statement": list(statements)})], request)


READ = AccessRequest("dynamodb:GetItem", ("arn:aws:dynamodb:us-east-1:1:table/orders",))
ALLOW = {
    "Effect": "Allow",
    "Action": "dynamodb:Get*",
    "Resource": "arn:aws:dynamodb:*:*:table/orders",
}


def test_nothing_is_allowed_by_default() -> None:
    assert decide([], READ) is Decision.NEUTRAL
    assert decision_for(READ, {**ALLOW, "Action": "dynamodb:PutItem"}) is Decision.NEUTRAL


def test_action_and_resource_both_have_to_match_with_wildcards() -> None:
    assert decision_for(READ, ALLOW) is Decision.ALLOWED
    assert (
        decision_for(READ, {**ALLOW, "Resource": "arn:aws:dynamodb:*:*:table/order"})
        is Decision.NEUTRAL
    )
    assert (
        decision_for(READ, {**ALLOW, "Resource": "arn:aws:dynamodb:*:*:table/order?"})
        is Decision.ALLOWED
    )
    assert decision_for(READ, {**ALLOW, "Action": ["s3:*", "DYNAMODB:getitem"]}) is Decision.ALLOWED
    assert (
        decision_for(READ, {"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"})
        is Decision.ALLOWED
    )
    assert (
        decision_for(READ, {"Effect": "Allow", "Action": "*", "NotResource": "*orders"})
        is Decision.NEUTRAL
    )


def test_a_dot_or_bracket_in_a_policy_is_no_pattern() -> None:
    request = AccessRequest("s3:GetObject", ("arn:aws:s3:::axb/k",))
    assert (
        decision_for(
            request, {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::a.b/k"}
        )
        is Decision.NEUTRAL
    )


def test_a_denial_wins_in_any_statement_of_any_document() -> None:
    deny = {"Effect": "Deny", "Action": "dynamodb:*", "Resource": "*"}
    assert decision_for(READ, ALLOW, deny) is Decision.DENIED
    assert (
        decide([json.dumps({"Statement": deny}), json.dumps({"Statement": ALLOW})], READ)
        is Decision.DENIED
    )


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        (
            {"ArnLike": {"AWS:SourceArn": "arn:aws:sns:*:*:t"}},
            {"aws:SourceArn": "arn:aws:sns:r:1:t"},
            True,
        ),
        (
            {"ArnLike": {"AWS:SourceArn": "arn:aws:sns:*:*:t"}},
            {"aws:SourceArn": "arn:aws:sns:r:1:u"},
            False,
        ),
        ({"StringEquals": {"aws:SourceAccount": ["1", "2"]}}, {"aws:SourceAccount": "2"}, True),
        ({"StringEquals": {"aws:SourceAccount": "1"}}, {}, False),
        ({"StringEqualsIfExists": {"aws:SourceAccount": "1"}}, {}, True),
        ({"StringNotEquals": {"a": "1"}}, {"a": "2"}, True),
        ({"StringNotLike": {"a": "1*"}}, {"a": "12"}, False),
        ({"Null": {"a": "true"}}, {}, True),
        ({"Bool": {"aws:SecureTransport": True}}, {"aws:SecureTransport": "true"}, True),
        ({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, {"s3:TlsVersion": "1.3"}, False),
        ({"NumericLessThan": {"s3:TlsVersion": 1.2}}, {"s3:TlsVersion": "1"}, True),
        ({"NumericNotEquals": {"a": 1}}, {"a": "2"}, True),
        ({"NumericEquals": {"a": 1}}, {"a": "one"}, False),
        ({"DateLessThan": {"a": "1"}}, {"a": "0"}, False),
    ],
)
def test_a_condition_that_does_not_hold_gives_no_permission(
    condition: dict[str, object], context: dict[str, str], *, expected: bool
) -> None:
    request = AccessRequest("dynamodb:GetItem", READ.resources, context=context)
    given = decision_for(request, {**ALLOW, "Condition": condition})
    assert given is (Decision.ALLOWED if expected else Decision.NEUTRAL)


def test_a_denial_with_an_unknown_condition_denies() -> None:
    deny = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"DateLessThan": {"a": "1"}},
    }
    assert decision_for(READ, ALLOW, deny) is Decision.DENIED


def test_a_resource_policy_names_the_principals_it_allows() -> None:
    statement = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "f"}
    request = AccessRequest("lambda:InvokeFunction", ("f",), ("sns.amazonaws.com",))
    assert (
        decision_for(request, {**statement, "Principal": {"Service": "sns.amazonaws.com"}})
        is Decision.ALLOWED
    )
    assert (
        decision_for(request, {**statement, "Principal": {"Service": "events.amazonaws.com"}})
        is Decision.NEUTRAL
    )
    assert decision_for(request, {**statement, "Principal": "*"}) is Decision.ALLOWED
    assert decision_for(request, statement) is Decision.NEUTRAL


@pytest.mark.parametrize(
    ("by_identity", "by_resource", "within", "across"),
    [
        (Decision.ALLOWED, Decision.ALLOWED, True, True),
        (Decision.ALLOWED, Decision.NEUTRAL, True, False),
        (Decision.NEUTRAL, Decision.ALLOWED, True, False),
        (Decision.NEUTRAL, Decision.NEUTRAL, False, False),
        (Decision.ALLOWED, Decision.DENIED, False, False),
        (Decision.DENIED, Decision.ALLOWED, False, False),
    ],
)
def test_one_side_allows_within_an_account_and_both_sides_across_accounts(
    by_identity: Decision, by_resource: Decision, *, within: bool, across: bool
) -> None:
    assert is_permitted(by_identity, by_resource, same_account=True) is within
    assert is_permitted(by_identity, by_resource, same_account=False) is across

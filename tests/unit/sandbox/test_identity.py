"""What roles may do: by their own policies, and by the policies of resources.

moto's state is in this process. Every test has an account of its own.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from moto.iam.models import iam_backends
from moto.sns.models import sns_backends

from terralive_sandbox.access.identity import (
    AccessDeniedError,
    Caller,
    decide_by_resource,
    require,
    role_boundary,
    role_may,
)
from terralive_sandbox.access.policy import AccessRequest, Decision
from terralive_sandbox.access.resource_policies import ResourcePolicy, find_policy

ACCOUNTS = (str(number) for number in itertools.count(700_000_000_000))
MAY_PUBLISH = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sns:Publish", "Resource": "*"}],
    }
)


@pytest.fixture
def account() -> str:
    return next(ACCOUNTS)


def role_in(account: str, policy: str = "") -> str:
    """A role; its ARN."""
    backend = iam_backends[account]["aws"]
    role = backend.create_role("app", "{}", "/", None, "", [], "3600")
    if policy:
        backend.put_role_policy("app", "inline", policy)
    return str(role.arn)


def topic_in(account: str, principal: str, effect: str = "Allow") -> str:
    """A topic whose policy has one statement, which is about publishing; its ARN."""
    topic = sns_backends[account]["eu-west-1"].create_topic("orders")
    topic.policy = publishing(principal, effect, str(topic.arn))
    return str(topic.arn)


def publishing(principal: str, effect: str, resource: str) -> str:
    statement = {
        "Effect": effect,
        "Principal": {"AWS": principal},
        "Action": "sns:Publish",
        "Resource": resource,
    }
    return json.dumps({"Statement": [statement]})


def root(account: str) -> str:
    return f"arn:aws:iam::{account}:root"


def test_within_one_account_a_policy_that_names_the_account_is_not_enough(account: str) -> None:
    role = role_in(account)
    for principal in (root(account), account):
        topic = topic_in(account, principal)
        assert not role_may(role, "sns:Publish", topic)
        with pytest.raises(AccessDeniedError, match="no identity-based policy allows"):
            require(
                Caller("", role, "", (), account),
                AccessRequest("sns:Publish", (topic,)),
                find_policy(topic),
            )


@pytest.mark.parametrize("principal", ["role", "*"])
def test_within_one_account_a_policy_that_names_the_role_is_enough(
    account: str, principal: str
) -> None:
    role = role_in(account)
    named = role if principal == "role" else principal
    assert role_may(role, "sns:Publish", topic_in(account, named))


def test_within_one_account_the_roles_own_policy_is_enough(account: str) -> None:
    topic = topic_in(account, root(next(ACCOUNTS)))
    assert role_may(role_in(account, MAY_PUBLISH), "sns:Publish", topic)


@pytest.mark.parametrize("by_number", [False, True])
def test_across_accounts_a_policy_that_names_the_account_and_the_roles_own_are_enough(
    account: str, by_number: bool
) -> None:
    principal = root(account)
    if by_number:
        principal = account
    topic = topic_in(next(ACCOUNTS), principal)
    role = role_in(account, MAY_PUBLISH)
    assert role_may(role, "sns:Publish", topic)
    iam_backends[account]["aws"].delete_role_policy("app", "inline")
    assert not role_may(role, "sns:Publish", topic)


def test_a_policy_that_denies_the_account_denies_its_roles(account: str) -> None:
    role = role_in(account, MAY_PUBLISH)
    for principal in (root(account), account):
        topic = topic_in(account, principal, "Deny")
        assert not role_may(role, "sns:Publish", topic)
        with pytest.raises(AccessDeniedError, match="explicit deny in a resource-based policy"):
            require(
                Caller("", role, "", (MAY_PUBLISH,), account),
                AccessRequest("sns:Publish", (topic,)),
                find_policy(topic),
            )


def test_a_policy_that_names_an_account_is_not_about_callers_without_a_signature(
    account: str,
) -> None:
    asked = AccessRequest("sns:Publish", ("topic",))
    for principal, expected in ((root(account), Decision.NEUTRAL), ("*", Decision.ALLOWED)):
        policy = ResourcePolicy(account, publishing(principal, "Allow", "topic"))
        assert decide_by_resource(policy, asked, None) is expected


# Permissions boundaries: https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html


def bounded_role_in(account: str, action: str, policy: str = "", effect: str = "Allow") -> str:
    """A role with a boundary that is about one action; its ARN."""
    arn = role_in(account, policy)
    statement = {"Effect": effect, "Action": action, "Resource": "*"}
    backend = iam_backends[account]["aws"]
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    boundary = backend.create_policy("", "/", document, "edge", [])
    backend.put_role_permissions_boundary("app", boundary.arn)
    return arn


def test_a_boundary_allows_nothing_by_itself_and_limits_the_roles_own_policies(
    account: str,
) -> None:
    topic = topic_in(account, root(account))
    assert not role_may(bounded_role_in(account, "sns:*"), "sns:Publish", topic)
    other = next(ACCOUNTS)
    topic = topic_in(other, root(other))
    assert role_may(bounded_role_in(other, "sns:*", MAY_PUBLISH), "sns:Publish", topic)
    third = next(ACCOUNTS)
    topic = topic_in(third, root(third))
    assert not role_may(bounded_role_in(third, "logs:*", MAY_PUBLISH), "sns:Publish", topic)


def test_a_boundary_limits_a_policy_that_names_the_role_but_not_one_that_names_its_session(
    account: str,
) -> None:
    role = bounded_role_in(account, "logs:*")
    session = f"arn:aws:sts::{account}:assumed-role/app/orders"
    topic = topic_in(account, role)
    assert not role_may(role, "sns:Publish", topic)
    caller = Caller("", session, "", (), account, role_boundary(role))
    asked = AccessRequest("sns:Publish", (topic,))
    with pytest.raises(AccessDeniedError, match="no permissions boundary allows"):
        require(replace(caller, documents=(MAY_PUBLISH,)), asked, find_policy(topic))
    require(caller, asked, find_policy(topic_in(account, session)))


def test_what_a_boundary_denies_no_policy_allows(account: str) -> None:
    role = bounded_role_in(account, "sns:Publish", MAY_PUBLISH, "Deny")
    assert not role_may(role, "sns:Publish", topic_in(account, role))

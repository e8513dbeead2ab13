"""Limits of concurrent executions.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from __future__ import annotations

import pytest

from terralive_sandbox.faults import InvalidRuleError, executions_from_json
from terralive_sandbox.functions.invoke_api import ConcurrentExecutions, InvokeError


def test_a_function_runs_no_more_often_at_once_than_its_reserved_concurrency_allows() -> None:
    executions = ConcurrentExecutions(account_limit=10)
    with executions.one("f", reserved=1):
        with pytest.raises(InvokeError) as raised, executions.one("f", reserved=1):
            pass
        with executions.one("g", reserved=None):
            pass
    assert raised.value.code == "TooManyRequestsException"
    assert raised.value.reason == "ReservedFunctionConcurrentInvocationLimitExceeded"


def test_a_reserved_concurrency_of_zero_lets_nothing_run() -> None:
    executions = ConcurrentExecutions(account_limit=10)
    with pytest.raises(InvokeError), executions.one("f", reserved=0):
        pass


def test_all_functions_share_the_accounts_limit() -> None:
    executions = ConcurrentExecutions(account_limit=1)
    with (
        executions.one("f", reserved=None),
        pytest.raises(InvokeError) as raised,
        executions.one("g", reserved=None),
    ):
        pass
    assert raised.value.reason == "ConcurrentInvocationLimitExceeded"


def test_an_execution_that_ends_or_fails_makes_room_for_the_next_one() -> None:
    executions = ConcurrentExecutions(account_limit=1)
    with pytest.raises(ZeroDivisionError), executions.one("f", reserved=1):
        raise ZeroDivisionError
    with executions.one("f", reserved=1):
        pass


def test_each_region_of_each_account_has_limits_of_its_own() -> None:
    executions = ConcurrentExecutions(account_limit=1)
    arn = "arn:aws:lambda:{}:{}:function:f".format
    own = arn("eu-west-1", "111111111111")
    with (
        executions.one(own, reserved=1),
        executions.one(arn("us-east-1", "111111111111"), reserved=1),
        executions.one(arn("eu-west-1", "222222222222"), reserved=1),
        pytest.raises(InvokeError),
        executions.one(own, reserved=None),
    ):
        pass


def test_executions_that_other_functions_occupy_count() -> None:
    executions = ConcurrentExecutions(account_limit=10)
    executions.occupied = 10
    with pytest.raises(InvokeError), executions.one("f", reserved=None):
        pass
    executions.occupied = 9
    with executions.one("f", reserved=None):
        pass


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"executions": -1}', '{"executions": "9"}'])
def test_a_request_to_occupy_executions_names_a_number(text: str) -> None:
    assert executions_from_json('{"executions": 990}') == 990
    with pytest.raises(InvalidRuleError):
        executions_from_json(text)

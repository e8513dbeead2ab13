"""The warnings of a pool, as a user reads them."""

from __future__ import annotations

from pathlib import Path

from terralive_relay.pool.messages import variables_left_out
from terralive_workers.environment import LeftOut
from terralive_workers.function import LocalCode

CODE = LocalCode(
    address="aws_lambda_function.orders",
    runtime="python3.13",
    handler="app.handler",
    path=Path("/home/ana/orders"),
    python=Path("/usr/bin/python3"),
)
FUNCTION = CODE.deployed_as(
    "orders", "aws_lambda_function.orders", arn="arn:aws:lambda:eu-west-1:1:function:orders"
)


def test_a_warning_names_each_variable_that_is_left_out_and_how_to_keep_it() -> None:
    (warned,) = variables_left_out(FUNCTION, LeftOut(("GIT_SSH", "PYTHONSTARTUP")))
    assert "part: GIT_SSH, PYTHONSTARTUP.\n" in warned.message
    assert "allow_variables of [functions.'aws_lambda_function.orders']" in warned.message


def test_a_warning_stays_short_whatever_a_message_names() -> None:
    names = tuple(f"GIT_{number}_" + "x" * 10_000 for number in range(5000))
    warnings = variables_left_out(FUNCTION, LeftOut(names, names))
    assert len(warnings) == 2
    for warned in warnings:
        assert len(warned.message) < 4500
        assert "and 4960 more" in warned.message

"""The warnings of a pool, as a user reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terralive_relay.pool.messages import module_missing, variables_left_out
from terralive_stub.protocol.invocation import Outcome
from terralive_workers.environment import LeftOut
from terralive_workers.function import LocalCode
from terralive_workers.outcomes import WorkerFailure

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


def failed(error_type: str, message: str) -> WorkerFailure:
    document = {"errorType": error_type, "errorMessage": message}
    return WorkerFailure(document=Outcome(json.dumps(document).encode(), error_type))


def test_a_missing_module_is_told_with_the_interpreter_that_lacks_it() -> None:
    message = "Unable to import module 'app': No module named 'humanize.time'"
    warned = module_missing(FUNCTION, failed("Runtime.ImportModuleError", message))
    assert warned is not None
    assert "no module 'humanize.time' for /usr/bin/python3." in warned.message
    assert "/usr/bin/python3 -m pip install" in warned.message
    assert warned.function == "orders"


@pytest.mark.parametrize(
    ("error_type", "message"),
    [
        ("Runtime.ImportModuleError", "Unable to import module 'app': cannot import name 'x'"),
        ("ValueError", "No module named 'humanize'"),
    ],
)
def test_other_errors_are_no_missing_module(error_type: str, message: str) -> None:
    assert module_missing(FUNCTION, failed(error_type, message)) is None

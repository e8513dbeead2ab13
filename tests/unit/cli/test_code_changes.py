"""Stubs that were replaced by Lambda's API alone: which are put back, and what is said of them."""

from __future__ import annotations

import pytest

from terralive_cli.code_changes.changes import CodeChange, Keep, keep, other_code
from terralive_cli.live.stub_check import DeployedCode, Look, Stub
from terralive_stub.broker.fallbacks import Replaced
from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.marker import StageName

API = "aws_lambda_function.api"
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:api"
STUB = Stub("stub=", "wss://a1.example/stub", StageName("shop", "dev"))
STATE = DeployedFunction("api", ARN, handler=STUB_HANDLER, code_hash="stub=")


def changes(code: DeployedCode | None, state: DeployedFunction = STATE) -> list[CodeChange]:
    return list(other_code({f"{API}[0]": state}, {API}, Look({ARN: code}), STUB))


def test_other_code_under_the_stubs_settings_is_found() -> None:
    now = DeployedCode("other=", STUB_HANDLER, modified="2026-11-30T08:00:00.000+0000")
    assert changes(now) == [CodeChange(f"{API}[0]", ARN, "other=", now.modified)]


def test_other_code_is_found_whatever_handler_somebody_has_set() -> None:
    assert len(changes(DeployedCode("other=", "app.handler"))) == 1


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (DeployedCode("stub=", STUB_HANDLER), STATE),
        # Terraform replaces an older stub itself, because the state names it.
        (
            DeployedCode("old=", STUB_HANDLER),
            DeployedFunction("api", ARN, handler=STUB_HANDLER, code_hash="old="),
        ),
        # It is not live yet.
        (
            DeployedCode("other=", "app.handler"),
            DeployedFunction("api", ARN, handler="app.handler"),
        ),
        # Terraform notices another image.
        (DeployedCode("other=", is_image=True), STATE),
        (None, STATE),
    ],
    ids=["stub", "older stub", "own code", "image", "deleted"],
)
def test_what_terraform_does_itself_is_left_to_it(
    code: DeployedCode | None, state: DeployedFunction
) -> None:
    assert changes(code, state) == []


def test_functions_that_stay_as_they_are_or_cannot_be_looked_at_are_left_alone() -> None:
    code = Look({ARN: DeployedCode("other=", STUB_HANDLER)})
    assert list(other_code({API: STATE}, set(), code, STUB)) == []
    assert list(other_code({API: STATE}, {API}, Look({}), STUB)) == []


def test_code_is_kept_as_a_version_unless_it_is_in_one() -> None:
    change = CodeChange(API, ARN, "other=")
    record = Replaced(ARN, "3", "own=", made=True)

    assert keep(change, record, is_known=False) is Keep.VERSION
    assert keep(change, None, is_known=False) is Keep.LOST
    assert keep(change, None, is_known=True) is Keep.KNOWN
    known = Replaced(ARN, "3", "other=", made=True)
    assert keep(change, known, is_known=False) is Keep.KNOWN


def test_the_reason_says_what_becomes_of_the_code() -> None:
    change = CodeChange(API, ARN, "other=", "2026-11-30T08:00:00.000+0000", Keep.VERSION)
    assert "last change 2026-11-30T08:00:00.000+0000" in change.reason
    assert "is published as a version first" in change.reason
    assert "is lost" in CodeChange(API, ARN, "other=", keep=Keep.LOST).reason
    assert "not this stage's stub" in CodeChange(API, ARN, "other=").reason

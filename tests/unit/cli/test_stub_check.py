"""Warnings about functions whose stub was replaced."""

from __future__ import annotations

from terralive_cli.live.stub_check import DeployedCode, Look, Stub, StubCheck
from terralive_relay.events import Warned
from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.substitution.marker import StageName, live_description

ORDERS = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
BILLS = "arn:aws:lambda:us-east-1:123456789012:function:bills"
URL = "wss://a1.execute-api.eu-west-1.amazonaws.com/stub"
MINE = DeployedCode("mine=", STUB_HANDLER)
OWN = DeployedCode("own=", "app.handler", modified="2026-11-29T17:03:12.000+0000")
STAGE = StageName("orders", "dev-ana")
BENS = live_description(StageName("orders", "dev-ben"))
ANOTHERS = DeployedCode("another=", STUB_HANDLER, description=BENS)
NEWER = DeployedCode("newer=", STUB_HANDLER, description=live_description(STAGE), size=280_000)
# A pipeline has run `update-function-code` and nothing else.
UPDATED = DeployedCode("own=", STUB_HANDLER, description=live_description(STAGE), size=700)


def check() -> StubCheck:
    return StubCheck(Stub("mine=", URL, STAGE), {ORDERS: "orders", BILLS: "bills"})


def only(warnings: list[Warned]) -> Warned:
    assert len(warnings) == 1
    return warnings[0]


def test_functions_with_their_stub_are_not_worth_a_word() -> None:
    one = check()
    assert one.looked(Look({ORDERS: MINE, BILLS: MINE})) == []
    assert one.looked(Look({ORDERS: MINE, BILLS: MINE})) == []


def test_a_pipeline_that_deploys_the_functions_own_code_is_named_once_with_the_time() -> None:
    one = check()
    warning = only(one.looked(Look({ORDERS: OWN, BILLS: MINE})))
    assert (warning.reference, warning.function) == ("stub-replaced", "orders")
    assert "at 2026-11-29T17:03:12.000+0000" in warning.message
    assert "a pipeline or a colleague" in warning.message
    assert "`terralive start` puts this stage's stub back" in warning.message
    assert one.looked(Look({ORDERS: OWN, BILLS: MINE})) == []


def test_another_stages_stub_is_told_from_the_functions_own_code() -> None:
    warning = only(check().looked(Look({ORDERS: ANOTHERS})))
    assert warning.reference == "stub-replaced"
    assert "the function is live for stage orders/dev-ben now" in warning.message
    assert "another version of terralive" in only(check().looked(Look({ORDERS: NEWER}))).message
    assert "a pipeline or a colleague" in only(check().looked(Look({ORDERS: UPDATED}))).message


def test_the_stub_is_back() -> None:
    one = check()
    one.looked(Look({ORDERS: OWN, BILLS: None}))
    assert one.without_stub == {ORDERS, BILLS}
    warning = only(one.looked(Look({ORDERS: MINE})))
    assert (warning.reference, warning.function) == ("stub-back", "orders")
    assert only(one.looked(Look({ORDERS: OWN}))).reference == "stub-replaced"


def test_a_function_that_is_deleted_is_named_once() -> None:
    one = check()
    assert "does not exist any more" in only(one.looked(Look({BILLS: None}))).message
    assert one.looked(Look({BILLS: None})) == []


def test_the_same_code_with_another_handler_is_no_stub() -> None:
    assert only(check().looked(Look({ORDERS: DeployedCode("mine=", "app.handler")})))


def test_a_stub_image_is_known_by_the_address_in_its_command() -> None:
    one = check()
    image = DeployedCode("digest", command=("v2", URL, "orders", "dev-ana", "key"))
    assert one.looked(Look({ORDERS: image})) == []
    command = ("v2", "wss://other/stub", "orders", "dev-ben", "key")
    elsewhere = DeployedCode("digest", command=command, description=BENS)
    assert (
        "live for stage orders/dev-ben now" in only(one.looked(Look({ORDERS: elsewhere}))).message
    )
    own = DeployedCode("digest", command=("app.handler",))
    assert "a pipeline or a colleague" in only(check().looked(Look({ORDERS: own}))).message


def test_a_missing_permission_is_named_once() -> None:
    one = check()
    refusal = "User ana is not authorized."
    warning = only(one.looked(Look({ORDERS: MINE}, refusal)))
    assert warning.reference == "stub-check-refused"
    assert "User ana is not authorized. It needs" in warning.message
    assert "lambda:GetFunctionConfiguration" in warning.message
    assert one.looked(Look({}, refusal)) == []


def test_a_function_that_may_be_looked_at_is_named_beside_one_that_may_not() -> None:
    said = check().looked(Look({BILLS: OWN}, "not authorized"))
    assert [warning.reference for warning in said] == ["stub-check-refused", "stub-replaced"]


def test_an_account_that_cannot_be_looked_at_is_named_once() -> None:
    one = check()
    look = Look({ORDERS: MINE}, not_entered={"222222222222": "no credentials."})
    warning = only(one.looked(look))
    assert warning.reference == "stub-check-refused"
    assert "in account 222222222222: no credentials. Say in terralive.toml" in warning.message
    assert '[accounts."222222222222"]' in warning.message
    assert one.looked(look) == []
    assert only(one.looked(Look({}, not_entered={"333333333333": "no credentials."})))

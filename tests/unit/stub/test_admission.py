"""Who gets into a debug stack: the broker's answers to the authorizer's event and to `$connect`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_stub.broker.admission import Admission, Upgrade
from terralive_stub.broker.exchange import Exchange
from terralive_stub.broker.gateway_events import Broker
from terralive_stub.broker.identity_source import IdentitySource
from terralive_stub.protocol.token import (
    HEADER,
    NONCE_BYTES,
    NONCE_SECONDS,
    Api,
    function_key,
    make_token,
    signing_key,
)
from terralive_stub.shared.json_documents import as_object, items, section
from terralive_testing.fakes.broker import FakeGateway, FakeTable
from terralive_testing.fakes.messages import JSON

NOW_MS = 1_700_000_000_000
SECRET = bytes(range(32))
FN = "arn:aws:lambda:eu-west-1:1:function:orders"
OTHER = "arn:aws:lambda:eu-west-1:1:function:payments"
ANA = "arn:aws:sts::1:assumed-role/Developer/ana"
METHOD = "arn:aws:execute-api:eu-west-1:1:api/stub/$connect"


def token(
    api: Api, subject: str, *, secret: bytes = SECRET, nonce: int = 1, late_s: float = 0
) -> str:
    key = signing_key(secret, api, subject)
    now = NOW_MS / 1000 - late_s
    return make_token(api, subject, key, now=now, nonce=nonce.to_bytes(NONCE_BYTES))


@dataclass
class Stack:
    """A broker with a table and a gateway in memory, at one moment."""

    source: IdentitySource = IdentitySource.IAM
    table: FakeTable = field(default_factory=lambda: FakeTable(secret=SECRET))
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        exchange = Exchange(self.table, FakeGateway())
        self.broker = Broker(Admission(self.table, self.source), exchange, self.log.append)

    def authorize(
        self, text: str, *, method: str = METHOD, header: str = HEADER
    ) -> dict[str, object]:
        event = {"type": "REQUEST", "methodArn": method, "headers": {header: text}}
        answer = self.broker.handle(event, NOW_MS)
        statements = items(section(answer, "policyDocument"), "Statement")
        (statement,) = map(as_object, statements)
        assert statement["Resource"] == method, "for the very ARN that was asked for"
        assert statement["Action"] == "execute-api:Invoke"
        return {**answer, "effect": statement["Effect"]}

    def connect(
        self,
        stage: str,
        text: str = "",
        *,
        caller: str = "",
        authorizer: dict[str, object] | None = None,
    ) -> object:
        """Return the status of `$connect`."""
        context = {
            "eventType": "CONNECT",
            "connectionId": "c1",
            "stage": stage,
            "identity": {"userArn": caller or None},
            "authorizer": authorizer,
        }
        event = {"requestContext": context, "headers": {HEADER: text} if text else {}}
        return self.broker.handle(event, NOW_MS)["statusCode"]

    def connect_stub(self, text: str) -> object:
        """Return the status for a stub: the authorizer decides first, as API Gateway has it."""
        answer = self.authorize(text)
        if answer["effect"] == "Deny":
            return "denied"
        context: dict[str, object] = {**section(answer, "context")}
        return self.connect("stub", text, authorizer=context)


# Stubs


def test_a_stub_of_this_stage_connects_under_its_functions_arn() -> None:
    stack = Stack()
    assert stack.connect_stub(token(Api.STUB, FN)) == 200
    assert stack.table.identities["c1"].arn == FN
    assert stack.table.identities["c1"].api is Api.STUB


@pytest.mark.parametrize("header", [HEADER.lower(), HEADER.upper()])
def test_the_headers_name_may_have_any_case(header: str) -> None:
    assert Stack().authorize(token(Api.STUB, FN), header=header)["effect"] == "Allow"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "token-missing"),
        ("nonsense", "token-malformed"),
        (token(Api.STUB, FN, secret=bytes(32)), "token-not-signed-by-this-stage"),
        (token(Api.RELAY, FN), "token-for-the-other-api"),
        (token(Api.STUB, FN, late_s=301), "token-too-old"),
        (token(Api.STUB, FN, late_s=-301), "token-from-the-future"),
    ],
)
def test_the_authorizer_denies_and_the_brokers_log_says_why(text: str, reason: str) -> None:
    stack = Stack()
    answer = stack.authorize(text)
    assert answer["effect"] == "Deny"
    assert "context" not in answer
    assert stack.log == [f"denied a stub's connection: {reason}"]


def test_the_key_of_one_functions_image_opens_nothing_for_another() -> None:
    key = function_key(SECRET, FN)
    nonce = bytes(NONCE_BYTES)
    text = make_token(Api.STUB, OTHER, key, now=NOW_MS / 1000, nonce=nonce)
    assert Stack().authorize(text)["effect"] == "Deny"
    text = make_token(Api.STUB, FN, key, now=NOW_MS / 1000, nonce=nonce)
    assert Stack().authorize(text)["effect"] == "Allow"


@pytest.mark.parametrize(
    "method",
    [
        "arn:aws:execute-api:eu-west-1:1:api/relay/$connect",
        "arn:aws:execute-api:eu-west-1:1:api/stub/$default",
        "arn:aws:execute-api:eu-west-1:1:api/stub/GET/orders",
        "arn:aws:execute-api:eu-west-1:1:api/*/*",
        "",
    ],
)
def test_the_authorizer_allows_nothing_but_the_stubs_connect(method: str) -> None:
    assert Stack().authorize(token(Api.STUB, FN), method=method)["effect"] == "Deny"


def test_a_stage_without_a_secret_lets_nobody_in_and_everybody_once_it_has_one() -> None:
    stack = Stack(table=FakeTable())
    assert stack.connect_stub(token(Api.STUB, FN)) == "denied"
    assert stack.log == ["denied a stub's connection: the-stage-has-no-secret"]
    assert stack.connect("relay", token(Api.RELAY, ANA), caller=ANA) == 401
    stack.table.secret = SECRET
    assert stack.connect_stub(token(Api.STUB, FN)) == 200


def test_the_secret_is_read_once() -> None:
    stack = Stack()
    stack.authorize(token(Api.STUB, FN))
    before = stack.table.accesses
    stack.authorize(token(Api.STUB, FN, nonce=2))
    assert stack.table.accesses == before


class Broken(FakeTable):
    def get_secret(self) -> bytes | None:
        raise RuntimeError("DynamoDB says too much")


def test_a_failure_denies_and_is_no_exception() -> None:
    stack = Stack(table=Broken())
    assert stack.authorize(token(Api.STUB, FN))["effect"] == "Deny"
    assert stack.log == ["the authorizer failed: RuntimeError"]


def test_a_token_opens_one_connection() -> None:
    stack = Stack()
    text = token(Api.STUB, FN)
    assert stack.connect_stub(text) == 200
    assert stack.connect_stub(text) == 401
    assert stack.log == ["refused a connection: token-used-before"]
    (end_ms,) = stack.table.nonces.values()
    assert end_ms == NOW_MS + NONCE_SECONDS * 1000
    assert stack.connect_stub(token(Api.STUB, FN, nonce=2)) == 200


def test_a_stub_gets_in_by_no_token_of_its_own_where_the_authorizer_was_taken_away() -> None:
    assert Stack().connect("stub", token(Api.STUB, FN)) == 403


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("", 401, "token-missing"),
        (token(Api.STUB, FN, secret=bytes(32)), 401, "token-not-signed-by-this-stage"),
        (token(Api.STUB, OTHER), 401, "token-of-another-function"),
        (token(Api.STUB, FN, late_s=301), 401, "token-too-old"),
    ],
)
def test_an_authorizers_answer_that_somebody_made_up_opens_nothing_without_the_token(
    text: str, status: int, reason: str
) -> None:
    """Whoever may call `lambda:InvokeFunction` on the broker can send it any event."""
    stack = Stack()
    made_up: dict[str, object] = {"subject": FN, "nonce": "1", "principalId": FN}
    assert stack.connect("stub", text, authorizer=made_up) == status
    assert stack.log == [f"refused a connection: {reason}"]
    assert stack.table.identities == {}
    assert stack.table.nonces == {}


def test_the_secret_and_a_token_show_in_no_text() -> None:
    stack = Stack()
    text = token(Api.STUB, FN)
    assert stack.connect_stub(text) == 200
    assert repr(SECRET) not in repr(stack.broker)
    assert text not in repr(Upgrade("stub", text))


@given(JSON)
def test_whatever_stands_in_the_authorizers_place_is_no_identity(context: object) -> None:
    stack = Stack()
    if isinstance(context, dict):
        context.pop("subject", None)
    request = {"eventType": "CONNECT", "connectionId": "c", "stage": "stub", "authorizer": context}
    assert stack.broker.handle({"requestContext": request}, NOW_MS) == {"statusCode": 403}


@given(st.dictionaries(st.sampled_from(["methodArn", "headers", "requestContext"]), JSON))
def test_no_event_makes_the_authorizer_fail(event: dict[str, object]) -> None:
    answer = Stack().broker.handle({**event, "type": "REQUEST"}, NOW_MS)
    assert '"Effect": "Deny"' in json.dumps(answer)


# Relays


def test_a_relay_connects_under_the_arn_that_iam_has_found() -> None:
    """SDKs choose a new session name whenever they renew credentials."""
    stack = Stack()
    renewed = "arn:aws:sts::1:assumed-role/Developer/botocore-session-2"
    assert stack.connect("relay", token(Api.RELAY, ANA), caller=renewed) == 200
    assert stack.table.identities["c1"].arn == renewed


@pytest.mark.parametrize(
    ("text", "caller", "status", "reason"),
    [
        (token(Api.RELAY, ANA), "", 403, "no-caller"),
        ("", ANA, 401, "token-missing"),
        (token(Api.RELAY, ANA, secret=bytes(32)), ANA, 401, "token-not-signed-by-this-stage"),
        (token(Api.STUB, ANA), ANA, 401, "token-for-the-other-api"),
        (
            token(Api.RELAY, ANA),
            "arn:aws:sts::1:assumed-role/Operator/ana",
            401,
            "token-of-another-caller",
        ),
        (token(Api.RELAY, ANA), "arn:aws:iam::1:user/ana", 401, "token-of-another-caller"),
    ],
)
def test_a_relays_missing_permission_is_403_and_its_token_401(
    text: str, caller: str, status: int, reason: str
) -> None:
    stack = Stack()
    assert stack.connect("relay", text, caller=caller) == status
    assert stack.log == [f"refused a connection: {reason}"]
    assert stack.table.identities == {}


def test_a_relays_token_opens_one_connection() -> None:
    stack = Stack()
    text = token(Api.RELAY, ANA)
    assert stack.connect("relay", text, caller=ANA) == 200
    assert stack.connect("relay", text, caller=ANA) == 401


@pytest.mark.parametrize("stage", ["$default", "", "relay2", "RELAY"])
def test_a_stage_that_is_not_the_debug_stacks_is_refused(stage: str) -> None:
    stack = Stack()
    assert stack.connect(stage, token(Api.RELAY, ANA), caller=ANA) == 403
    authorizer: dict[str, object] = {"subject": FN, "nonce": "1"}
    assert stack.connect(stage, authorizer=authorizer) == 403


# An emulator of AWS that tells no caller and may run no authorizer


def test_where_nobody_tells_the_caller_the_token_alone_decides() -> None:
    stack = Stack(source=IdentitySource.TOKEN)
    assert stack.connect("relay", token(Api.RELAY, ANA)) == 200
    assert stack.table.identities["c1"].arn == ANA
    assert stack.connect("relay", token(Api.RELAY, ANA)) == 401
    assert stack.connect("relay", "") == 401
    assert stack.connect("relay", token(Api.RELAY, ANA, secret=bytes(32), nonce=2)) == 401


def test_a_caller_that_an_emulator_makes_up_counts_for_nothing() -> None:
    stack = Stack(source=IdentitySource.TOKEN)
    assert stack.connect("relay", token(Api.RELAY, ANA), caller="arn:aws:iam::0:root") == 200
    assert stack.table.identities["c1"].arn == ANA


def test_where_no_authorizer_runs_the_brokers_connect_checks_the_stubs_token() -> None:
    stack = Stack(source=IdentitySource.TOKEN)
    assert stack.connect("stub", token(Api.STUB, FN)) == 200
    assert stack.table.identities["c1"].arn == FN
    assert stack.connect("stub", token(Api.STUB, FN)) == 401
    assert stack.connect("stub", token(Api.STUB, FN, secret=bytes(32), nonce=2)) == 401
    assert stack.connect_stub(token(Api.STUB, FN, nonce=3)) == 200

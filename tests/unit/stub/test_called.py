"""The stub as an ordinary handler, where a runtime has no Runtime API."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest

from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.stub.called import as_handler

ARN = "arn:aws:lambda:us-east-1:000000000000:function:orders"


@dataclass
class Context:
    function_name: str = "orders"
    invoked_function_arn: str = f"{ARN}:live"
    aws_request_id: str = "r1"

    def get_remaining_time_in_millis(self) -> int:
        return 3000


@dataclass
class FakeStub:
    outcome: Outcome
    failure: BaseException | None = None
    abandoned: int = 0
    invocations: list[Invocation] = field(default_factory=list)

    def handle(self, invocation: Invocation) -> Outcome:
        self.invocations.append(invocation)
        if self.failure is not None:
            raise self.failure
        return self.outcome

    def abandon(self) -> None:
        self.abandoned += 1


def test_the_event_and_its_context_become_an_invocation_and_its_answer_the_result() -> None:
    stub = FakeStub(Outcome(b'{"statusCode": 200}'))
    assert as_handler(stub)({"order": "ü"}, Context()) == {"statusCode": 200}
    invocation = stub.invocations[0]
    assert (invocation.request_id, invocation.function, invocation.function_name) == (
        "r1",
        ARN,
        "orders",
    )
    assert invocation.event == b'{"order": "\\u00fc"}'
    assert invocation.environment == dict(os.environ)


def test_a_trace_id_is_no_part_of_the_environment_so_that_it_travels_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stub = FakeStub(Outcome(b"null"))
    for trace_id in ("Root=1", "Root=2"):
        monkeypatch.setenv("_X_AMZN_TRACE_ID", trace_id)
        as_handler(stub)({}, Context())
    first, second = stub.invocations
    assert (first.trace_id, second.trace_id) == ("Root=1", "Root=2")
    assert first.environment == second.environment


def test_a_tenant_is_taken_over_from_a_context_that_has_one() -> None:
    stub = FakeStub(Outcome(b"null"))
    blue = Context()
    vars(blue)["tenant_id"] = "blue"
    as_handler(stub)({}, Context())
    as_handler(stub)({}, blue)
    assert [invocation.tenant_id for invocation in stub.invocations] == ["", "blue"]


def test_an_error_of_the_local_handler_is_raised_with_its_type_and_message() -> None:
    body = b'{"errorType": "KeyError", "errorMessage": "no such order", "stackTrace": []}'
    with pytest.raises(Exception, match="no such order") as raised:
        as_handler(FakeStub(Outcome(body, "Unhandled")))({}, Context())
    assert type(raised.value).__name__ == "KeyError"


def test_an_error_that_is_no_document_is_raised_with_the_type_that_lambda_got() -> None:
    with pytest.raises(Exception, match=r"Runtime\.ExitError") as raised:
        as_handler(FakeStub(Outcome(b"", "Runtime.ExitError")))({}, Context())
    assert type(raised.value).__name__ == "Runtime.ExitError"


@pytest.mark.parametrize("failure", [KeyError("x"), TimeoutError(), KeyboardInterrupt()])
def test_after_a_failure_in_the_middle_the_next_invocation_has_a_new_connection(
    failure: BaseException,
) -> None:
    stub = FakeStub(Outcome(b"null"), failure)
    with pytest.raises(type(failure)):
        as_handler(stub)({}, Context())
    assert stub.abandoned == 1

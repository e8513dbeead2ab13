"""The account's alias, which may look like production."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from terralive_cli.deploy.aws import Caller
from terralive_stub.errors import CredentialsError

if TYPE_CHECKING:
    import boto3


class Session:
    """A session of boto3's, whose clients answer this, or get this error."""

    def __init__(self, answer: list[str] | Exception) -> None:
        self._answer = answer

    def client(self, _service: str, **_options: object) -> Session:
        return self

    def list_account_aliases(self) -> dict[str, list[str]]:
        if isinstance(self._answer, Exception):
            raise self._answer
        return {"AccountAliases": self._answer}


def alias(answer: list[str] | Exception) -> str:
    return caller(answer).account_alias()


def caller(answer: list[str] | Exception) -> Caller:
    return Caller(
        account="123456789012",
        arn="arn:aws:iam::123456789012:user/ana",
        region="eu-west-1",
        credentials=lambda: pytest.fail("nobody asks for credentials"),
        session=cast("boto3.Session", Session(answer)),
        endpoint_url=None,
    )


def test_an_alias_that_was_read_is_known() -> None:
    asked = caller(["acme-dev"])
    assert asked.known_alias == ""
    asked.account_alias()
    assert asked.known_alias == "acme-dev"


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "ListAccountAliases")


def test_an_account_has_one_alias_or_none() -> None:
    assert alias(["acme-production"]) == "acme-production"
    assert alias([]) == ""


def test_a_caller_who_may_not_ask_sees_none() -> None:
    assert alias(refusal("AccessDenied")) == ""


@pytest.mark.parametrize(
    ("error", "reference"),
    [
        (refusal("ExpiredToken"), "credentials-expired"),
        (refusal("Throttling"), "aws-refused"),
        (ConnectTimeoutError(endpoint_url="https://iam.amazonaws.com"), "aws-unreachable"),
    ],
)
def test_any_other_failure_is_not_taken_for_an_account_without_an_alias(
    error: Exception, reference: str
) -> None:
    with pytest.raises(CredentialsError) as caught:
        alias(error)
    assert caught.value.reference == reference

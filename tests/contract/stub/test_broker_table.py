"""The connections table in memory and in DynamoDB (moto) keep one contract.

That of `terralive_stub.broker.exchange.Table`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import boto3
import pytest
from moto import mock_aws

from terralive_stub.broker.admission import AdmissionTable
from terralive_stub.broker.aws import DynamoDBTable
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.broker.leases import ConnectionIdentity, Lease, LeaseState, Takeover
from terralive_stub.broker.services import Conflict, Table
from terralive_stub.protocol.messages import FallbackCount
from terralive_stub.protocol.token import Api
from terralive_testing.fakes.broker import FakeTable

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

RELAY = ConnectionIdentity(
    "Lx=1", Api.RELAY, "arn:aws:sts::1:assumed-role/Developer/ana", 1_700_007_200_000
)
LEASE = Lease(
    relay="life",
    connection="Lx=1",
    owner="Ana Ä.",
    machine="anas-laptop",
    arn=RELAY.arn,
    functions=frozenset({"fn", "other"}),
    state=LeaseState.HELD,
    since_ms=1_700_000_000_000,
    until_ms=0,
    expires_ms=1_700_000_060_123,
    version=1,
    held_ms=1_700_000_000_500,
)


class BrokerTable(Table, AdmissionTable, Protocol):
    """Both contracts of the table, and the one that the command line adds."""

    def create_secret(self, secret: bytes) -> bytes: ...

    def put_replaced(self, replaced: Replaced) -> None: ...

    def get_replaced(self, function: str) -> Replaced | None: ...

    def list_replaced(self) -> list[Replaced]: ...

    def delete_replaced(self, function: str) -> None: ...


@pytest.fixture(params=["memory", "dynamodb"])
def table(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[BrokerTable]:
    if request.param == "memory":
        yield FakeTable()
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws(), made_table() as (_, table):
        yield table


@contextmanager
def made_table() -> Iterator[tuple[DynamoDBClient, DynamoDBTable]]:
    client = boto3.client("dynamodb", region_name="eu-west-1")
    client.create_table(
        TableName="connections",
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    try:
        yield client, DynamoDBTable(client, "connections")
    finally:
        client.close()


def test_a_connection_is_remembered_until_it_is_deleted(table: Table) -> None:
    table.put_identity(RELAY)
    assert table.get_identity("Lx=1") == RELAY
    assert table.get_identity("another") is None
    table.delete_identity("Lx=1")
    assert table.get_identity("Lx=1") is None


def test_deleting_what_is_not_there_is_no_error(table: Table) -> None:
    table.delete_identity("never-was")


def test_no_connection_has_an_empty_name(table: Table) -> None:
    """DynamoDB would accept the key `connection#`; a message without a peer must find nothing."""
    assert table.get_identity("") is None


def test_a_connection_cannot_be_mistaken_for_the_lease(table: Table) -> None:
    table.put_identity(replace(RELAY, connection="lease"))
    assert table.get_lease() is None
    table.put_lease(LEASE, replaces=0)
    assert table.get_identity("lease") == replace(RELAY, connection="lease")


def test_a_lease_comes_back_as_it_was_written(table: Table) -> None:
    assert table.get_lease() is None
    table.put_lease(LEASE, replaces=0)
    assert table.get_lease() == LEASE


@pytest.mark.parametrize("state", LeaseState)
def test_every_state_and_a_lease_for_no_function_can_be_kept(
    table: Table, state: LeaseState
) -> None:
    lease = replace(LEASE, state=state, functions=frozenset(), owner="", machine="", until_ms=7)
    table.put_lease(lease, replaces=0)
    assert table.get_lease() == lease


def test_a_lease_is_replaced_by_who_has_read_its_last_version(table: Table) -> None:
    table.put_lease(LEASE, replaces=0)
    table.put_lease(replace(LEASE, owner="ben", version=2), replaces=1)
    found = table.get_lease()
    assert found is not None
    assert (found.owner, found.version) == ("ben", 2)


def test_of_two_that_find_no_lease_the_second_is_told_of_the_conflict(table: Table) -> None:
    table.put_lease(LEASE, replaces=0)
    with pytest.raises(Conflict):
        table.put_lease(replace(LEASE, owner="ben"), replaces=0)
    assert table.get_lease() == LEASE


@pytest.mark.parametrize("replaces", [1, 3])
def test_who_has_read_another_version_changes_nothing(table: Table, replaces: int) -> None:
    table.put_lease(LEASE, replaces=0)
    second = replace(LEASE, state=LeaseState.LOST, version=2)
    table.put_lease(second, replaces=1)
    with pytest.raises(Conflict):
        table.put_lease(replace(LEASE, owner="ben", version=replaces + 1), replaces=replaces)
    assert table.get_lease() == second


def test_nothing_can_be_replaced_where_there_is_no_lease(table: Table) -> None:
    """DynamoDB's TTL may have taken it away since it was read."""
    with pytest.raises(Conflict):
        table.put_lease(replace(LEASE, version=6), replaces=5)
    assert table.get_lease() is None


def test_a_secret_is_made_once_and_what_is_there_stays(table: BrokerTable) -> None:
    assert table.get_secret() is None
    first, second = bytes(range(32)), bytes(32)
    assert table.create_secret(first) == first
    assert table.create_secret(second) == first
    assert table.get_secret() == first


def test_a_nonce_can_be_recorded_once(table: BrokerTable) -> None:
    assert table.put_nonce("a" * 32, 1_700_000_600_001)
    assert not table.put_nonce("a" * 32, 1_800_000_000_000)
    assert table.put_nonce("b" * 32, 1_700_000_600_001)


def test_traces_of_takeovers_are_no_lease_no_secret_and_no_connection(table: BrokerTable) -> None:
    later = replace(LEASE, relay="other", owner="ben", arn="arn:aws:iam::1:user/ben", version=2)
    for number in range(2):
        table.put_takeover(Takeover(1_700_000_000_000 + number, LEASE, later))
    assert table.get_lease() is None
    assert table.get_secret() is None
    assert table.get_identity("takeover") is None


def test_the_record_of_replaced_code_is_read_as_it_was_written(table: BrokerTable) -> None:
    first = Replaced(
        function="arn:aws:lambda:eu-west-1:123456789012:function:orders",
        version="7",
        code_sha256="q" * 43 + "=",
        made=True,
        aliases={"live": "6"},
    )
    second = replace(
        first, function=first.function + "-2", made=False, can_answer=False, aliases={}, reason="x"
    )
    assert table.get_replaced(first.function) is None
    table.put_replaced(first)
    table.put_replaced(second)
    assert table.get_replaced(second.function) == second
    assert table.list_replaced() == [first, second]
    table.delete_replaced(first.function)
    table.delete_replaced(first.function)
    assert table.list_replaced() == [second]


def test_answers_of_fallbacks_are_counted_by_function_until_they_are_taken(
    table: BrokerTable,
) -> None:
    assert table.take_fallback_counts() == []
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
    for number, ok in enumerate((True, False, True)):
        table.count_fallback(arn, ok=ok, now_ms=1_700_000_000_000 + number)
    table.count_fallback(arn + "-2", ok=True, now_ms=1_700_000_000_007)
    assert table.take_fallback_counts() == [
        FallbackCount(arn, answered=3, failed=1, since_ms=1_700_000_000_000),
        FallbackCount(arn + "-2", answered=1, failed=0, since_ms=1_700_000_000_007),
    ]
    assert table.take_fallback_counts() == []
    table.count_fallback(arn, ok=True, now_ms=1_700_000_000_009)
    assert table.take_fallback_counts() == [
        FallbackCount(arn, answered=1, failed=0, since_ms=1_700_000_000_009)
    ]
    assert table.list_replaced() == []


def test_dynamodb_forgets_a_nonce_after_its_token_and_a_takeover_after_30_days(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws(), made_table() as (client, table):
        table.put_nonce("a" * 32, 1_700_000_600_001)
        later = replace(LEASE, relay="other", owner="ben", arn="arn:ben")
        table.put_takeover(Takeover(1_700_000_000_000, LEASE, later))
        items = {item["pk"]["S"]: item for item in client.scan(TableName="connections")["Items"]}
    assert items["nonce#" + "a" * 32]["expires"]["N"] == "1700000601"
    trace = items["takeover"]
    assert trace["expires"]["N"] == str(1_700_000_000 + 30 * 24 * 60 * 60)
    told = {name: trace[name]["S"] for name in ("from_owner", "from_arn", "by_owner", "by_arn")}
    assert told == {
        "from_owner": "Ana Ä.",
        "from_arn": RELAY.arn,
        "by_owner": "ben",
        "by_arn": "arn:ben",
    }

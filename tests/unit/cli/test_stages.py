"""The output of `status` and `list`, from what was read of debug stacks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from terralive_cli.joining.description import StackDescription
from terralive_cli.live.stub_check import DeployedCode
from terralive_cli.stages import text
from terralive_cli.stages.ages import seconds_of, short_age
from terralive_cli.stages.events import (
    Connection,
    FunctionState,
    SessionHere,
    StacksListed,
    StageFunction,
    StageStatus,
)
from terralive_cli.stages.listing import listed
from terralive_cli.stages.looks import Functions, StackItems, StackLook, known_functions
from terralive_cli.stages.reading import AccountReader
from terralive_cli.stages.state import SeenFunction, stage_function, status_of
from terralive_cli.stages.tagged import TaggedResource, prefix_of, stacks_of
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.broker.leases import LEASE_MS, Lease, LeaseState
from terralive_terraform.artifacts import STUB_HANDLER
from terralive_terraform.debug_stack.settings import DebugStackSettings
from terralive_terraform.substitution.marker import StageName, live_description

STAGE = StageName("orders", "dev-ana")
PLACE = "eu-west-1:123456789012"
API = f"arn:aws:lambda:{PLACE}:function:orders-api"
JOB = f"arn:aws:lambda:{PLACE}:function:orders-job"
FAR = "arn:aws:lambda:us-east-1:123456789012:function:orders-edge"
TABLE = f"arn:aws:dynamodb:{PLACE}:table/terralive-orders-dev-ana-connections"
NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
NOW = int(NOON.timestamp() * 1000)
MINUTE, DAY = 60_000, 24 * 60 * 60_000
TAGS = {
    "terralive:app": "orders",
    "terralive:stage": "dev-ana",
    "terralive:owner": "ana",
    "terralive:created": "2026-11-20",
    "terralive:version": "0.1.0",
    "terralive:source": "github.com/acme/orders",
}
STUB = DeployedCode("stub", handler=STUB_HANDLER, description=live_description(STAGE), size=280_000)
OWN = DeployedCode("own", handler="app.handler", size=280_000)
RECORD = Replaced(API, "3", "own", made=True)
LEASE = Lease(
    relay="r1",
    connection="c1",
    owner="ana",
    machine="laptop",
    arn="arn:aws:iam::123456789012:user/ana",
    functions=frozenset({API, FAR}),
    state=LeaseState.HELD,
    since_ms=NOW - 5 * MINUTE,
    until_ms=0,
    expires_ms=NOW + 30_000,
    version=1,
)
DESCRIPTION = StackDescription(
    "orders", "dev-ana", "github.com/acme/orders", "ana", "2026-11-20", "0.1.0", 3, {}, {}
)


def resource(arn: str, **changes: str) -> TaggedResource:
    return TaggedResource(arn, {**TAGS, **{f"terralive:{key}": at for key, at in changes.items()}})


def look(items: StackItems) -> StackLook:
    (stack,) = stacks_of([resource(TABLE)])
    return StackLook(stack, items)


def test_resources_of_one_debug_stack_are_one_stack_and_other_stages_are_others() -> None:
    api = "arn:aws:apigateway:eu-west-1::/apis/a1"
    other = "arn:aws:lambda:eu-west-1:123456789012:function:terralive-orders-pr-7-broker"

    found = stacks_of([resource(TABLE), resource(api), resource(other, stage="pr-7", owner="ci")])

    assert [(str(item.stage), item.owner, item.name) for item in found] == [
        ("orders/dev-ana", "ana", "terralive-orders-dev-ana"),
        ("orders/pr-7", "ci", "terralive-orders-pr-7"),
    ]
    assert set(found[0].arns) == {api, TABLE}
    assert (found[0].has_table, found[1].has_table) == (True, False)
    assert found[1].table == "terralive-orders-pr-7-connections"


def test_what_is_left_of_a_destroy_is_listed_and_resources_of_others_are_not() -> None:
    group = f"arn:aws:logs:{PLACE}:log-group:/aws/lambda/terralive-orders-dev-ana-broker:*"
    (found,) = stacks_of([resource(group), TaggedResource(API, {"team": "orders"})])

    assert found.name == "terralive-orders-dev-ana"
    (nameless,) = stacks_of([resource("arn:aws:s3:::terralive-orders-dev-ana-stub-0123")])
    assert (nameless.name, nameless.table) == ("", "")


@pytest.mark.parametrize(
    ("prefix", "app", "known"),
    [
        ("terralive", "orders", ()),
        ("acme-debug", "orders", ("terralive",)),
        ("terralive", "an-app-with-a-name-that-is-very-long-indeed-yes", ("terralive",)),
    ],
)
def test_the_prefix_of_the_names_is_known_again(
    prefix: str, app: str, known: tuple[str, ...]
) -> None:
    settings = DebugStackSettings(app, "dev-ana", "", "", "", "", name_prefix=prefix)
    table = f"arn:aws:dynamodb:{PLACE}:table/{settings.name('connections')}"
    (stack,) = stacks_of([resource(table, app=app)])

    assert prefix_of(stack, known) == prefix


def test_a_name_that_no_known_prefix_gives_is_not_guessed() -> None:
    table = f"arn:aws:dynamodb:{PLACE}:table/acme-orders-dev-0123abcd-connections"
    (stack,) = stacks_of([resource(table)])

    assert prefix_of(stack, ("terralive",)) is None


@pytest.mark.parametrize(
    ("lease", "connection", "idle_s"),
    [
        (LEASE, Connection.CONNECTED, 0),
        (
            replace(LEASE, state=LeaseState.LOST, until_ms=NOW - 5_000),
            Connection.LOST,
            5,
        ),
        (
            replace(LEASE, state=LeaseState.RELEASED, until_ms=NOW - 2 * DAY),
            Connection.LEFT,
            2 * 24 * 3600,
        ),
        # Its machine was switched off: it was renewed last a minute before it ends.
        (replace(LEASE, expires_ms=NOW - DAY + LEASE_MS), Connection.LEFT, 24 * 3600),
        (None, Connection.NEVER, 10 * 24 * 3600),
    ],
)
def test_the_lease_tells_who_is_connected_and_since_when_nobody_is(
    lease: Lease | None, connection: Connection, idle_s: float
) -> None:
    items = StackItems(True, DESCRIPTION, lease, created_ms=NOW - 10 * DAY)

    found = listed(look(items), Functions(), "eu-west-1", NOW)

    assert (found.connection, found.idle_s) == (connection, idle_s)
    assert found.age_s == 10 * 24 * 3600
    assert found.created == "2026-11-20T12:00:00.000Z"
    assert found.note == ""


def test_a_debug_stack_is_never_older_than_its_tag_says() -> None:
    found = listed(look(StackItems(exists=True)), Functions(), "eu-west-1", NOW)

    # The end of that day.
    assert found.created == "2026-11-21T00:00:00.000Z"
    assert found.note == "its first apply was not finished"


def test_live_functions_are_found_by_their_description_and_by_their_record() -> None:
    ignored = replace(OWN, sha256="stub at its handler")
    functions = Functions({API: STUB, JOB: ignored})
    items = StackItems(True, DESCRIPTION, None, (RECORD, replace(RECORD, function=JOB)))

    assert listed(look(items), functions, "eu-west-1", NOW).live == ("orders-api", "orders-job")


def test_a_function_that_was_deployed_anew_is_not_live() -> None:
    functions = Functions({API: OWN})
    items = StackItems(True, DESCRIPTION, None, (RECORD,))

    assert listed(look(items), functions, "eu-west-1", NOW).live == ()


def test_functions_elsewhere_are_known_by_the_record_and_by_the_lease() -> None:
    items = StackItems(True, DESCRIPTION, LEASE, (replace(RECORD, function=FAR),))

    found = listed(look(items), Functions({API: STUB}), "eu-west-1", NOW)

    assert found.live == ("orders-api", "orders-edge (us-east-1)")
    assert known_functions(STAGE, items, Functions({API: STUB})) == (API, FAR)


def seen(code: DeployedCode | None, **configuration: Any) -> SeenFunction:  # noqa: ANN401
    version: dict[str, Any] = {"Version": "3", "Timeout": 10, "MemorySize": 128}
    return SeenFunction(API, code, {**version, **configuration}, version)


@pytest.mark.parametrize(
    ("code", "state", "detail"),
    [
        (STUB, FunctionState.LIVE, ""),
        (replace(OWN, sha256="stub at its handler"), FunctionState.LIVE, "Terraform ignores"),
        (OWN, FunctionState.OWN_CODE, "`terralive start` makes it live again"),
        (replace(OWN, sha256="newer", size=5), FunctionState.OWN_CODE, "start"),
        (
            replace(STUB, description=live_description(StageName("orders", "dev-ben"))),
            FunctionState.OTHER_STAGE,
            "it is live for orders/dev-ben",
        ),
        (None, FunctionState.GONE, ""),
    ],
)
def test_the_status_tells_what_a_function_runs(
    code: DeployedCode | None, state: FunctionState, detail: str
) -> None:
    found = stage_function(seen(code), STAGE, RECORD, "eu-west-1")

    assert (found.name, found.state) == ("orders-api", state)
    assert detail in found.detail


def test_the_status_tells_what_differs_from_the_deployed_configuration() -> None:
    live = seen(STUB, Timeout=900, MemorySize=256, Environment={"Variables": {"A": "b"}})

    found = stage_function(live, STAGE, RECORD, "eu-west-1")

    assert found.differs == ("Timeout (900 s, was 10 s)", "MemorySize", "Environment")
    assert (found.fallback_version, found.fallback_reason) == ("3", "")


def test_the_status_tells_why_no_version_answers() -> None:
    silent = replace(RECORD, can_answer=False, reason="its reserved concurrency is 1")

    found = stage_function(seen(STUB), STAGE, silent, "eu-west-1")
    never = stage_function(seen(STUB), STAGE, None, "eu-west-1")

    assert (found.fallback_version, found.fallback_reason) == ("3", silent.reason)
    assert never.fallback_reason == "no version of its real code is known"


def test_a_function_that_could_not_be_looked_at_is_unknown() -> None:
    refused = SeenFunction(FAR, None, {}, {}, refusal="No way into 999999999999.")

    found = stage_function(refused, STAGE, None, "eu-west-1")

    assert (found.state, found.detail) == (FunctionState.UNKNOWN, "No way into 999999999999.")
    assert found.name == "orders-edge (us-east-1)"


def lines_of(event: Any) -> list[str]:  # noqa: ANN401  # any event
    makers: Any = {"status": text.stage_status, "stacks": text.stacks_listed}
    return [line.text for line in makers[event.type](event)]


def test_the_status_reads_at_a_glance() -> None:
    items = StackItems(True, DESCRIPTION, LEASE, (RECORD,))
    function = stage_function(seen(STUB, Timeout=900), STAGE, RECORD, "eu-west-1")
    status = replace(
        status_of(STAGE, "account 123456789012, eu-west-1", items, NOW),
        functions=(function,),
        session=SessionHere(4711, "2026-11-30T11:55:00.000Z", is_detached=True),
        at=NOON,
    )

    assert lines_of(status) == [
        "orders/dev-ana in account 123456789012, eu-west-1",
        "  Debug stack   deployed by ana on 2026-11-20, terralive 0.1.0",
        "  Connection    connected: ana on laptop, for 5 min",
        "  Session here  process 4711, for 5 min, in the background",
        "  Functions     1 live",
        "    orders-api  live  fallback: version 3",
        "      differs from the deployed configuration: Timeout (900 s, was 10 s)",
    ]


def test_a_stage_that_is_not_deployed_says_so() -> None:
    status = status_of(STAGE, "the sandbox, eu-west-1", StackItems(), NOW)

    assert lines_of(status)[1:] == [
        "  Debug stack   none",
        "  Session here  none",
        "  Functions     0 live",
    ]


@pytest.mark.parametrize(
    ("lease", "line"),
    [
        (
            replace(LEASE, state=LeaseState.LOST, until_ms=NOW - 5_000),
            "lost: ana on laptop, 5 s ago; the session may return",
        ),
        (
            replace(LEASE, state=LeaseState.RELEASED, until_ms=NOW - 3 * DAY),
            "nobody; ana on laptop was connected until 3 d ago",
        ),
        (None, "nobody, in the last 30 days or ever"),
    ],
)
def test_the_status_tells_who_was_connected(lease: Lease | None, line: str) -> None:
    items = StackItems(True, DESCRIPTION, lease)
    status = replace(status_of(STAGE, "here", items, NOW), at=NOON)

    assert lines_of(status)[2] == f"  Connection    {line}"


def test_the_list_fits_on_80_columns() -> None:
    lease = replace(LEASE, owner="maria-magdalena", machine="maria-magdalenas-macbook-pro")
    long = StackItems(True, DESCRIPTION, lease, created_ms=NOW - 400 * DAY)
    stack = replace(
        look(long).stack,
        stage=StageName("customer-notifications", "dev-maria-magdalena"),
        owner="maria-magdalena",
    )
    short = look(StackItems(True, DESCRIPTION, None, created_ms=NOW - 10 * DAY))
    stacks = [
        listed(item, Functions({API: STUB}), "eu-west-1", NOW)
        for item in (StackLook(stack, long), short)
    ]

    shown = lines_of(StacksListed("account 123456789012, eu-west-1", tuple(stacks)))

    assert all(len(line) <= 80 for line in shown[:4]), shown
    assert shown[0] == "2 debug stacks in account 123456789012, eu-west-1:"
    assert shown[1].split() == ["STAGE", "OWNER", "AGE", "IDLE", "CONNECTED", "LIVE"]
    assert shown[3].split() == ["orders/dev-ana", "ana", "10", "d", "10", "d", "no", "1"]
    assert "less than 1 cent a month" in shown[-1]


class OtherVersion:
    """AWS, with a table whose items something else has written."""

    session: Any
    endpoint_url = None

    def __init__(self) -> None:
        self.session = self

    def client(self, _service: str, **_: object) -> OtherVersion:
        return self

    def get_item(self, **_: object) -> dict[str, Any]:
        return {"Item": {"state": {"S": "odd"}}}


def test_a_table_of_another_version_hides_no_other_debug_stack() -> None:
    caller: Any = OtherVersion()

    items = AccountReader(caller).items("terralive-orders-dev-ana-connections")

    assert items.exists
    assert "as this version of terralive writes it" in items.refusal
    (stack,) = stacks_of([resource(TABLE)])
    shown = listed(StackLook(stack, items), Functions(), "eu-west-1", NOW)
    assert shown.connection is Connection.UNKNOWN, "so no cleanup removes it"


def test_an_age_that_nothing_tells_is_unknown() -> None:
    (stack,) = stacks_of([resource(TABLE, created="some day")])
    far = replace(LEASE, since_ms=10**17, expires_ms=10**17)

    unknown = listed(StackLook(stack, StackItems()), Functions(), "eu-west-1", NOW)
    connected = listed(StackLook(stack, StackItems(True, None, far)), Functions(), "eu-west-1", NOW)

    shown = lines_of(StacksListed("the sandbox", (unknown, connected)))
    assert shown[2].split()[2:4] == ["unknown", "unknown"]
    assert (unknown.created, unknown.used) == ("", "")
    status = status_of(STAGE, "here", StackItems(True, None, far), NOW)
    assert not status.since


def test_an_account_without_debug_stacks_says_so() -> None:
    assert lines_of(StacksListed("the sandbox", ())) == ["No debug stacks in the sandbox."]


@pytest.mark.parametrize(
    ("age", "seconds"),
    [("3d", 3 * 86_400), ("12h", 43_200), ("0m", 0), ("2w", 14 * 86_400), ("3", None), ("d", None)],
)
def test_an_age_is_a_number_and_a_unit(age: str, seconds: int | None) -> None:
    assert seconds_of(age) == seconds


def test_ages_are_short() -> None:
    ages = [short_age(seconds) for seconds in (-1, 90, 600, 36 * 3600, 3 * 86_400)]

    assert ages == ["0 s", "90 s", "10 min", "36 h", "3 d"]


def test_a_reason_that_all_functions_share_is_said_once() -> None:
    functions = tuple(
        StageFunction(name, name, FunctionState.LIVE, fallback_reason="there is no deployed code")
        for name in ("api", "job")
    )
    status = StageStatus("orders", "dev-ana", PLACE, deployed=True, functions=functions)
    lines = ["".join(span.text for span in line.spans) for line in text.stage_status(status)]
    assert [line.strip() for line in lines if "fallback" in line] == [
        "no fallback for any of them: there is no deployed code"
    ]
    other = replace(functions[0], fallback_reason="its versions are gone")
    lines = [
        "".join(span.text for span in line.spans)
        for line in text.stage_status(replace(status, functions=(other, functions[1])))
    ]
    assert len([line for line in lines if "no fallback: " in line]) == 2

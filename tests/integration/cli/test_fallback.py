"""The real code of functions is published before stubs take their place, in the sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from terralive_cli.code_changes.renewing import Stubs
from terralive_cli.configuration.tables import FallbackChoice
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.aws import identify
from terralive_cli.fallback.candidates import Candidate
from terralive_cli.fallback.decision import Declared
from terralive_cli.fallback.published import description
from terralive_cli.fallback.removing import FallbackRemoval
from terralive_cli.fallback.stage_fallback import StageFallback
from terralive_cli.output.events import Fallback
from terralive_cli.restoring.examination import Examination
from terralive_relay.events import Warned
from terralive_sandbox.info import SandboxInfo, environment
from terralive_stub.broker.fallbacks import Replaced
from terralive_terraform.artifacts import STUB_HANDLER, StubCoordinates, build_stub_zip
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.marker import StageName, live_description
from terralive_testing.deployers.sandbox import Aws, code, unique

OWN = code('def handler(event, context): return "own"')
NEW = code('def handler(event, context): return "new"')
STAGE = StageName("orders", "dev-ana")
BEN = StageName("orders", "dev-ben")
API = "aws_lambda_function.api"


class Shared:
    """What all tests have in common: clients take longest.

    Attributes:
        aws: the sandbox.
        caller: the caller.
        accounts: sessions of the caller.
        table: the name of the stage's table.
    """

    def __init__(self, info: SandboxInfo) -> None:
        self.aws = Aws(info)
        self.caller = identify(info.region, environment(info))
        self.accounts = Accounts(self.caller)
        self.table = self.new_table()

    def new_table(self) -> str:
        """Create the table of a stage; return its name."""
        table = unique("terralive-connections")
        keys: Any = {"pk": "HASH", "sk": "RANGE"}
        self.aws.dynamodb.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
        )
        return table


class Start:
    """The fallback of one function, as a start makes it.

    Attributes:
        aws: the sandbox.
        arn: the function.
        role: its role, which may do nothing.
    """

    def __init__(self, shared: Shared, folder: Path) -> None:
        self.aws, self.table = shared.aws, shared.table
        self.caller, self.accounts = shared.caller, shared.accounts
        self.folder = folder
        self.new_table = shared.new_table
        self.role = self.aws.role()
        self.arn = self.aws.function(OWN, role=self.role)

    def candidate(
        self,
        choice: FallbackChoice = FallbackChoice.AUTO,
        aliases: Mapping[str, str] | None = None,
        **declared: Any,  # noqa: ANN401  # the attributes of `Declared`
    ) -> Candidate:
        function = DeployedFunction(self.arn.rpartition(":")[2], self.arn)
        return Candidate(API, choice, Declared(role=self.role, **declared), function, aliases or {})

    def publish(self, candidate: Candidate) -> list[Warned]:
        examination = Examination(self.accounts, (), self.folder)
        work = StageFallback(self.caller, STAGE, self.accounts)
        return list(work.publish([candidate], examination, self.table))

    def remove(self, own: Sequence[str], searched: Sequence[str] = ()) -> list[Warned]:
        removal = FallbackRemoval(self.caller, STAGE, self.accounts, self.table)
        # The table has the records of the other tests' functions, too.
        found = removal.remove(own, searched)
        return [warning for warning in found if self.arn in warning.message]

    def planned(self, candidate: Candidate) -> Fallback:
        work = StageFallback(self.caller, STAGE, self.accounts)
        return work.planned([candidate], self.table).shown[API]

    def record(self) -> Replaced | None:
        return self.caller.table(self.table).get_replaced(self.arn)

    def versions(self) -> dict[str, str]:
        """Return the descriptions of the published versions, by number."""
        found = self.aws.lambda_.list_versions_by_function(FunctionName=self.arn)["Versions"]
        return {
            item["Version"]: item["Description"] for item in found if item["Version"] != "$LATEST"
        }

    def answer(self, version: str) -> object:
        """Invoke a version as the function's role."""
        as_role = self.aws.assume(self.role).lambda_
        return json.loads(as_role.invoke(FunctionName=f"{self.arn}:{version}")["Payload"].read())


@pytest.fixture(scope="module")
def shared(sandbox: SandboxInfo) -> Shared:
    return Shared(sandbox)


@pytest.fixture
def start(shared: Shared, tmp_path: Path) -> Start:
    return Start(shared, tmp_path)


def test_the_deployed_code_is_a_version_that_the_functions_role_may_invoke(start: Start) -> None:
    assert start.planned(start.candidate()) == Fallback()
    assert start.publish(start.candidate()) == []
    record = start.record()
    assert record is not None
    assert (record.version, record.made, record.can_answer, record.reason) == ("1", True, True, "")
    assert start.versions() == {"1": description(STAGE)}
    start.aws.lambda_.update_function_code(FunctionName=start.arn, ZipFile=NEW)
    assert start.answer("1") == "own"


def test_a_second_start_uses_the_version_and_a_new_deployment_replaces_it(start: Start) -> None:
    start.publish(start.candidate())
    assert start.publish(start.candidate()) == []
    assert list(start.versions()) == ["1"]
    start.aws.lambda_.update_function_code(FunctionName=start.arn, ZipFile=NEW)
    start.publish(start.candidate())
    record = start.record()
    assert record is not None
    assert (record.version, record.made) == ("2", True)
    assert list(start.versions()) == ["2"]
    assert start.answer("2") == "new"


def test_a_teams_own_version_is_used_and_keeps_its_description(start: Start) -> None:
    start.aws.lambda_.publish_version(FunctionName=start.arn, Description="release 1")
    candidate = start.candidate(readers=("output.version",))
    assert start.planned(candidate) == Fallback("1")
    assert start.publish(candidate) == []
    record = start.record()
    assert record is not None
    assert (record.version, record.made, record.can_answer) == ("1", False, True)
    assert start.versions() == {"1": "release 1"}
    assert start.answer("1") == "own"


def test_nothing_is_published_where_the_configuration_reads_the_version(start: Start) -> None:
    candidate = start.candidate(readers=("output.version",))
    assert "output.version reads the newest version" in start.planned(candidate).reason
    assert start.publish(candidate) == []
    assert start.record() is None
    assert start.versions() == {}


def test_the_version_of_an_alias_may_be_invoked_and_is_recorded(start: Start) -> None:
    start.aws.lambda_.publish_version(FunctionName=start.arn)
    start.aws.lambda_.create_alias(FunctionName=start.arn, Name="live", FunctionVersion="1")
    start.aws.lambda_.update_function_code(FunctionName=start.arn, ZipFile=NEW)
    start.publish(start.candidate(aliases={"live": "1"}))
    record = start.record()
    assert record is not None
    assert (record.version, record.aliases) == ("2", {"live": "1"})
    assert (start.answer("1"), start.answer("2")) == ("own", "new")


def test_with_a_reserved_concurrency_of_one_the_version_serves_the_restore_only(
    start: Start,
) -> None:
    candidate = start.candidate(reserved=1)
    assert "reserved concurrency is 1" in start.planned(candidate).reason
    assert start.publish(candidate) == []
    record = start.record()
    assert record is not None
    assert (record.version, record.can_answer) == ("1", False)
    assert "reserved concurrency is 1" in record.reason
    with pytest.raises(ClientError, match="AccessDenied"):
        start.answer("1")


def test_a_permissions_boundary_without_invocations_is_named(start: Start) -> None:
    statement = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    boundary = start.aws.iam.create_policy(PolicyName=unique("b"), PolicyDocument=document)
    start.aws.iam.put_role_permissions_boundary(
        RoleName=start.role.rpartition("/")[2], PermissionsBoundary=boundary["Policy"]["Arn"]
    )
    assert "may not allow lambda:InvokeFunction" in start.planned(start.candidate()).reason
    start.publish(start.candidate())
    record = start.record()
    assert record is not None
    assert (record.version, record.can_answer) == ("1", False)


def test_a_function_that_carries_a_stub_keeps_its_record(start: Start) -> None:
    start.publish(start.candidate())
    before = start.record()
    start.aws.lambda_.update_function_code(FunctionName=start.arn, ZipFile=NEW)
    start.aws.lambda_.update_function_configuration(
        FunctionName=start.arn, Description=live_description(STAGE)
    )
    assert start.publish(start.candidate()) == []
    assert start.record() == before
    assert list(start.versions()) == ["1"]


def test_nothing_is_published_where_the_user_does_not_want_it(start: Start) -> None:
    candidate = start.candidate(FallbackChoice.NEVER)
    assert start.planned(candidate).reason == "fallback = false"
    assert start.publish(candidate) == []
    assert (start.record(), start.versions()) == (None, {})


def test_the_fallback_of_a_live_function_is_switched_off_and_on(start: Start) -> None:
    start.publish(start.candidate())
    before = start.record()
    assert before is not None
    function = DeployedFunction("api", start.arn, description=live_description(STAGE))
    work = StageFallback(start.caller, STAGE, start.accounts)
    off = replace(start.candidate(FallbackChoice.NEVER), function=function)
    work.switch([off], start.table)
    assert start.record() == replace(before, can_answer=False, reason="fallback = false")
    work.switch([replace(off, choice=FallbackChoice.AUTO)], start.table)
    assert start.record() == before


def test_the_version_of_a_live_function_is_published_anew_with_other_settings(
    start: Start, tmp_path: Path
) -> None:
    start.publish(start.candidate())
    lambda_ = start.aws.lambda_
    coordinates = StubCoordinates("ws://127.0.0.1:9", STAGE.app, STAGE.stage, bytes(32))
    stub = build_stub_zip(coordinates, tmp_path)
    lambda_.update_function_code(FunctionName=start.arn, ZipFile=stub.path.read_bytes())
    lambda_.update_function_configuration(
        FunctionName=start.arn,
        Handler=STUB_HANDLER,
        Description=live_description(STAGE),
        MemorySize=512,
    )
    function = DeployedFunction("api", start.arn, description=live_description(STAGE))
    candidate = replace(start.candidate(), function=function)
    planned = start.planned(candidate)
    assert planned == Fallback("1", stale=("MemorySize",), renewed=True)

    work = StageFallback(start.caller, STAGE, start.accounts)
    stubs = Stubs(coordinates, stub, tmp_path, lambda _: {})
    assert list(work.renew([candidate], stubs, start.table)) == []

    assert start.planned(candidate) == Fallback("2")
    assert list(start.versions()) == ["2"]
    assert start.answer("2") == "own"


def test_a_version_that_is_not_published_anew_is_a_warning(start: Start, tmp_path: Path) -> None:
    start.publish(start.candidate())
    start.aws.lambda_.update_function_configuration(FunctionName=start.arn, MemorySize=512)
    coordinates = StubCoordinates("ws://127.0.0.1:9", STAGE.app, STAGE.stage, bytes(32))
    stubs = Stubs(coordinates, build_stub_zip(coordinates, tmp_path), tmp_path, lambda _: {})
    work = StageFallback(start.caller, STAGE, start.accounts)
    (warning,) = work.renew([start.candidate()], stubs, start.table)
    assert warning.reference == "fallback-not-renewed"
    assert "its code is not this stage's stub" in warning.message


@pytest.mark.parametrize("action", ["PublishVersion", "AddPermission", "ListVersionsByFunction"])
def test_a_missing_permission_is_a_warning(start: Start, action: str) -> None:
    allowed = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    denied = {"Effect": "Deny", "Action": f"lambda:{action}", "Resource": "*"}
    keys = start.aws.role_keys(start.aws.role(allowed, denied))
    session = boto3.Session(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], start.caller.region
    )
    start.caller = replace(start.caller, session=session)
    start.accounts = Accounts(start.caller)
    (warning,) = start.publish(start.candidate())
    assert warning.reference == "no-fallback"
    assert f"lambda:{action}" in warning.message
    record = start.record()
    if action == "AddPermission":
        assert record is not None
        assert not record.can_answer
    else:
        assert record is None


def test_a_restore_deletes_the_version_and_the_record(start: Start) -> None:
    start.publish(start.candidate())
    assert start.remove(own=[start.arn]) == []
    assert (start.record(), start.versions()) == (None, {})


def test_a_function_that_may_carry_a_stub_keeps_its_version(start: Start) -> None:
    start.publish(start.candidate())
    start.aws.lambda_.update_function_configuration(
        FunctionName=start.arn, Description=live_description(STAGE)
    )
    assert start.remove(own=[]) == []
    assert start.record() is not None
    assert list(start.versions()) == ["1"]


def test_a_teams_own_version_survives_without_the_permission(start: Start) -> None:
    start.aws.lambda_.publish_version(FunctionName=start.arn, Description="release 1")
    start.publish(start.candidate())
    assert start.answer("1") == "own"
    assert start.remove(own=[start.arn]) == []
    assert start.record() is None
    assert start.versions() == {"1": "release 1"}
    with pytest.raises(ClientError, match="AccessDenied"):
        start.answer("1")


def test_a_version_that_an_alias_names_stays_and_is_named(start: Start) -> None:
    start.publish(start.candidate())
    start.aws.lambda_.create_alias(FunctionName=start.arn, Name="live", FunctionVersion="1")
    (warning,) = start.remove(own=[start.arn])
    assert warning.reference == "version-stays"
    assert f"version 1 of {start.arn}: its alias live names it" in warning.message
    assert start.record() is not None
    assert list(start.versions()) == ["1"]


def test_versions_are_found_by_their_description_where_the_table_is_gone(start: Start) -> None:
    start.publish(start.candidate())
    start.table = unique("gone")
    assert start.remove(own=[start.arn], searched=[start.arn]) == []
    assert start.versions() == {}


def test_the_record_of_a_function_that_does_not_exist_any_more_goes(start: Start) -> None:
    start.publish(start.candidate())
    start.aws.lambda_.delete_function(FunctionName=start.arn)
    assert start.remove(own=[]) == []
    assert start.record() is None


class TestTakenFromAnotherStage:
    """A function carries the stub of ana's stage, and ben takes it."""

    def taken(self, start: Start, **declared: Any) -> tuple[StageFallback, Candidate, str]:  # noqa: ANN401
        """Return ben's work, the function as ben's plan has it, and the name of ben's table."""
        start.publish(start.candidate())
        start.aws.lambda_.update_function_code(FunctionName=start.arn, ZipFile=NEW)
        start.aws.lambda_.update_function_configuration(
            FunctionName=start.arn, Description=live_description(STAGE)
        )
        of_ana = start.table
        ben = StageFallback(start.caller, BEN, start.accounts, lambda _: of_ana)
        function = DeployedFunction("api", start.arn, description=live_description(STAGE))
        candidate = replace(start.candidate(**declared), function=function)
        return ben, candidate, start.new_table()

    def test_the_version_answers_for_the_new_stage_too(self, start: Start) -> None:
        ben, candidate, table = self.taken(start)
        assert ben.planned([candidate], table).shown[API] == Fallback("1")
        examination = Examination(start.accounts, (), start.folder)

        assert list(ben.publish([candidate], examination, table)) == []

        record = start.caller.table(table).get_replaced(start.arn)
        assert record == start.record()
        policy = start.aws.lambda_.get_policy(FunctionName=start.arn, Qualifier="1")["Policy"]
        assert {item["Sid"] for item in json.loads(policy)["Statement"]} == {
            "terralive-orders-dev-ana",
            "terralive-orders-dev-ben",
        }

    def test_a_restore_by_the_new_stage_leaves_nothing(self, start: Start) -> None:
        ben, candidate, table = self.taken(start)
        ben.publish([candidate], Examination(start.accounts, (), start.folder), table)

        removal = FallbackRemoval(start.caller, BEN, start.accounts, table)
        assert list(removal.remove([start.arn], [start.arn])) == []

        assert start.versions() == {}
        assert start.caller.table(table).get_replaced(start.arn) is None

    def test_the_configuration_of_now_decides_whether_it_may_answer(self, start: Start) -> None:
        ben, candidate, table = self.taken(start, reserved=1)
        ben.publish([candidate], Examination(start.accounts, (), start.folder), table)
        record = start.caller.table(table).get_replaced(start.arn)
        assert record is not None
        assert (record.version, record.can_answer) == ("1", False)
        assert "reserved concurrency is 1" in record.reason

    def test_a_version_with_other_code_than_the_record_says_is_not_used(self, start: Start) -> None:
        ben, candidate, table = self.taken(start)
        known = start.record()
        assert known is not None
        start.caller.table(start.table).put_replaced(replace(known, code_sha256="other"))
        ben.publish([candidate], Examination(start.accounts, (), start.folder), table)
        assert start.caller.table(table).get_replaced(start.arn) is None

    def test_without_the_other_stages_table_there_is_none(self, start: Start) -> None:
        _, candidate, table = self.taken(start)
        gone = unique("gone")
        ben = StageFallback(start.caller, BEN, start.accounts, lambda _: gone)
        assert "is not known" in ben.planned([candidate], table).shown[API].reason
        assert (
            list(ben.publish([candidate], Examination(start.accounts, (), start.folder), table))
            == []
        )
        assert start.caller.table(table).get_replaced(start.arn) is None

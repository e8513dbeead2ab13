"""Live functions of a debug stack, found and put back without its app's checkout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terralive_cli.fallback.published import description
from terralive_cli.live.deployed_code import described_code
from terralive_cli.stages.cleanup.restorable import StackFunctions
from terralive_cli.stages.looks import Functions, StackItems
from terralive_sandbox.info import SandboxInfo
from terralive_stub.broker.fallbacks import Replaced
from terralive_terraform.artifacts import (
    STUB_HANDLER,
    StubCoordinates,
    build_stub_zip,
)
from terralive_terraform.substitution.marker import StageName, live_description
from terralive_testing.deployers.identities import SandboxAccounts
from terralive_testing.deployers.sandbox import Aws, code

STAGE = StageName("orders", "pr-412")
OTHER = StageName("orders", "dev-ben")
OWN = code('def handler(event, context): return "own"')
FAR = "arn:aws:lambda:us-east-1:999999999999:function:bills"


def _no_upload(_data: bytes) -> dict[str, str]:
    raise AssertionError("a small zip file needs no bucket")


class Account:
    """Functions of a test.

    Attributes:
        aws: the sandbox.
        functions: what `gc` looks at functions with.
        records: the records of the stage.
        account_id: the id of the account.
    """

    def __init__(self, info: SandboxInfo, folder: Path) -> None:
        self.aws = Aws(info)
        self.functions = StackFunctions(STAGE, SandboxAccounts(info), _no_upload)
        self.records: list[Replaced] = []
        self.account_id = info.account_id
        self._folder = folder
        self._arns: list[str] = []

    def live(self, stage: StageName, *, at_handler: bool = False, note: str = "sends mail") -> str:
        """Deploy a function, record its code for STAGE, and make it live for a stage."""
        client = self.aws.lambda_
        arn = self.aws.function(OWN)
        client.update_function_configuration(FunctionName=arn, Description=note, Timeout=7)
        client.get_waiter("function_updated_v2").wait(FunctionName=arn)
        version = client.publish_version(FunctionName=arn, Description=description(STAGE, note))
        client.create_alias(FunctionName=arn, Name="now", FunctionVersion="$LATEST")
        aliases = {"now": version["Version"]}
        self.records.append(
            Replaced(arn, version["Version"], version["CodeSha256"], made=True, aliases=aliases)
        )
        self.stub(arn, stage, at_handler=at_handler)
        return arn

    def stub(self, arn: str, stage: StageName, *, at_handler: bool = False) -> None:
        """Put the stub of a stage in the place of a function."""
        client = self.aws.lambda_
        coordinates = StubCoordinates("wss://gone.example/stub", stage.app, stage.stage, bytes(32))
        stub = build_stub_zip(coordinates, self._folder / str(len(self._arns)))
        if not at_handler:
            client.update_function_configuration(
                FunctionName=arn,
                Handler=STUB_HANDLER,
                Description=live_description(stage),
                Timeout=900,
            )
        client.update_function_code(FunctionName=arn, ZipFile=stub.path.read_bytes())
        client.get_waiter("function_updated_v2").wait(FunctionName=arn)
        self._arns.append(arn)

    @property
    def items(self) -> StackItems:
        return StackItems(exists=True, records=tuple(self.records))

    def listed(self) -> Functions:
        """Return the functions of this test as `ListFunctions` describes them."""
        found = {}
        for arn in self._arns:
            answer = self.aws.lambda_.get_function_configuration(FunctionName=arn)
            found[arn] = described_code(answer)
        return Functions(found)

    def settings(self, arn: str) -> tuple[str, str, int]:
        found = self.aws.lambda_.get_function_configuration(FunctionName=arn)
        return found["Handler"], found["Description"], found["Timeout"]

    def answer(self, arn: str) -> object:
        return json.loads(self.aws.lambda_.invoke(FunctionName=arn)["Payload"].read())


@pytest.fixture
def account(sandbox: SandboxInfo, tmp_path: Path) -> Account:
    return Account(sandbox, tmp_path)


def test_the_records_bring_back_code_settings_and_aliases(account: Account) -> None:
    live, ignored = account.live(STAGE), account.live(STAGE, at_handler=True)
    handler, *_ = account.settings(ignored)
    assert account.settings(live)[0] == STUB_HANDLER

    restorable = account.functions.examine(account.items, account.listed())
    assert set(restorable.originals) == {live, ignored}
    assert restorable.blocked == ()
    assert account.functions.put_back(account.items, restorable) == ()

    for arn in (live, ignored):
        assert account.settings(arn) == (handler, "sends mail", 7)
        assert account.answer(arn) == "own"
        alias = account.aws.lambda_.get_alias(FunctionName=arn, Name="now")
        assert alias["FunctionVersion"] == "1"
    again = account.functions.examine(account.items, account.listed())
    assert not again.originals
    assert again.own == {live, ignored}


def test_functions_that_another_stage_has_taken_are_none_of_its_business(account: Account) -> None:
    taken, at_handler = account.live(OTHER), account.live(OTHER, at_handler=True)

    restorable = account.functions.examine(account.items, account.listed())

    assert dict(restorable.originals) == {}
    assert restorable.own.isdisjoint({taken, at_handler})
    assert restorable.blocked == ()


def test_what_cannot_be_put_back_is_named(account: Account) -> None:
    first_code = account.aws.function(OWN)
    account.stub(first_code, STAGE)
    described = account.live(STAGE)
    account.aws.lambda_.update_function_configuration(FunctionName=described, Description="edited")
    long = account.live(STAGE, note="x" * 250)
    account.records.append(Replaced(FAR, "1", "sum", made=True))

    restorable = account.functions.examine(account.items, account.listed())

    reasons = {line.partition(": ")[0]: line for line in restorable.blocked}
    names = {arn: arn.rpartition(":")[2] for arn in (first_code, described, long, FAR)}
    assert reasons.keys() == set(names.values())
    assert "the stub was its first code" in reasons[names[first_code]]
    assert "somebody has changed its description" in reasons[names[described]]
    assert "too long to be kept" in reasons[names[long]]
    assert "No way into 999999999999" in reasons[names[FAR]]


def test_without_a_list_of_functions_nothing_is_certain(account: Account) -> None:
    restorable = account.functions.examine(account.items, Functions(refusal="not allowed"))

    assert restorable.blocked == ("live functions are not known: not allowed",)


def test_a_function_that_is_gone_keeps_nothing_from_being_removed(account: Account) -> None:
    region = account.aws.lambda_.meta.region_name
    gone = f"arn:aws:lambda:{region}:{account.account_id}:function:gone"
    account.records.append(Replaced(gone, "1", "sum", made=True))

    restorable = account.functions.examine(account.items, Functions())

    assert (dict(restorable.originals), restorable.blocked) == ({}, ())


def test_code_that_has_changed_since_the_look_stays(account: Account) -> None:
    live = account.live(STAGE)
    restorable = account.functions.examine(account.items, account.listed())
    account.aws.lambda_.update_function_code(FunctionName=live, ZipFile=code("newer = True"))

    (reason,) = account.functions.put_back(account.items, restorable)

    assert "its code has changed since it was looked at" in reason

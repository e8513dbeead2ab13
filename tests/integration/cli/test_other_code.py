"""Stubs that were replaced by Lambda's API alone, in the sandbox: found, and put back."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from terralive_cli.code_changes.changes import CodeChange, Keep
from terralive_cli.code_changes.finding import find_other_code
from terralive_cli.code_changes.making import CodeChanger
from terralive_cli.live.stub_check import Stub
from terralive_sandbox.info import SandboxInfo
from terralive_stub.broker.fallbacks import Replaced
from terralive_terraform.artifacts import STUB_HANDLER, StubCoordinates, build_stub_zip
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.marker import StageName, live_description
from terralive_testing.deployers.identities import SandboxAccounts
from terralive_testing.deployers.sandbox import Aws, code
from terralive_testing.fakes.broker import FakeTable

API = "aws_lambda_function.api"
STAGE = StageName("shop", "dev")
OWN = code('def handler(event, context): return "own"')
PIPELINE = code('def handler(event, context): return "pipeline"')
# An older stub has another secret.
OLD = StubCoordinates("wss://api.example/stub", "shop", "dev", bytes(32))


class LiveFunction:
    """A function that carries the stub of a stage, which has a record of its own code.

    Attributes:
        aws: the sandbox.
        table: the stage's table.
        arn: the function's ARN.
        state: the function in Terraform's state.
    """

    def __init__(self, info: SandboxInfo, folder: Path) -> None:
        self.aws = Aws(info)
        self.table = FakeTable()
        self.folder = folder
        self.accounts = SandboxAccounts(info)
        new = StubCoordinates("wss://api.example/stub", "shop", "dev", bytes(range(32)))
        self.stub = build_stub_zip(new, folder / "stub")
        self.arn = self.aws.function(OWN)
        lambda_ = self.aws.lambda_
        own = lambda_.publish_version(FunctionName=self.arn)
        self.table.put_replaced(Replaced(self.arn, own["Version"], own["CodeSha256"], made=True))
        lambda_.update_function_configuration(
            FunctionName=self.arn, Handler=STUB_HANDLER, Description=live_description(STAGE)
        )
        self.put(self.stub.path.read_bytes())
        name = self.arn.rpartition(":")[2]
        self.state = DeployedFunction(
            name,
            self.arn,
            handler=STUB_HANDLER,
            description=live_description(STAGE),
            code_hash=self.stub.sha256_base64,
        )

    def put(self, archive: bytes) -> None:
        self.aws.lambda_.update_function_code(FunctionName=self.arn, ZipFile=archive)

    def found(self) -> tuple[CodeChange, ...]:
        return find_other_code(
            self.accounts,
            {API: self.state},
            {API},
            Stub(self.stub.sha256_base64, "wss://api.example/stub", STAGE),
            self.table.get_replaced,
            own_hashes={API: base64.b64encode(hashlib.sha256(OWN).digest()).decode()},
        )

    def make(self, changes: tuple[CodeChange, ...]) -> list[str]:
        changer = CodeChanger(self.accounts, self.table, self.stub, STAGE)
        return [warning.message for warning in changer.make(changes)]

    @property
    def has_stub(self) -> bool:
        now = self.aws.lambda_.get_function_configuration(FunctionName=self.arn)
        is_configured = now["Handler"] == STUB_HANDLER and now["Description"]
        return bool(is_configured) and now["CodeSha256"] == self.stub.sha256_base64

    def answer_of(self, version: str) -> object:
        answer = self.aws.lambda_.invoke(FunctionName=self.arn, Qualifier=version)
        return json.loads(answer["Payload"].read())


@pytest.fixture
def live(sandbox: SandboxInfo, tmp_path: Path) -> LiveFunction:
    return LiveFunction(sandbox, tmp_path)


def test_a_function_that_has_the_stub_needs_nothing(live: LiveFunction) -> None:
    assert live.found() == ()


def test_the_code_of_a_pipeline_becomes_a_version_and_the_stub_is_back(live: LiveFunction) -> None:
    live.put(PIPELINE)

    changes = live.found()
    assert [change.keep for change in changes] == [Keep.VERSION]
    assert "other code was deployed over its stub" in changes[0].reason
    assert live.make(changes) == []

    assert live.has_stub
    known = live.table.get_replaced(live.arn)
    assert known is not None
    # With the function's own handler: it answers, as the version before it did.
    assert live.answer_of(known.version) == "pipeline"
    assert known.code_sha256 == changes[0].sha256
    versions = live.aws.lambda_.list_versions_by_function(FunctionName=live.arn)["Versions"]
    assert [item["Version"] for item in versions] == ["$LATEST", known.version]
    assert live.found() == ()


def test_an_update_of_the_code_that_has_failed_is_made_again(live: LiveFunction) -> None:
    # The state says that the function has the stub.
    live.put(OWN)

    changes = live.found()
    assert [change.keep for change in changes] == [Keep.KNOWN]
    assert live.make(changes) == []

    assert live.has_stub
    known = live.table.get_replaced(live.arn)
    assert known is not None
    assert live.answer_of(known.version) == "own"


def test_code_that_the_configuration_has_is_not_lost_without_a_record(live: LiveFunction) -> None:
    """The code was never replaced, and the configuration asks for no version to fall back on."""
    live.table.delete_replaced(live.arn)
    live.put(OWN)

    changes = live.found()
    assert [change.keep for change in changes] == [Keep.KNOWN]
    assert live.make(changes) == []
    assert live.has_stub


def test_an_older_stub_is_no_code_to_keep(live: LiveFunction) -> None:
    live.put(build_stub_zip(OLD, live.folder / "old").path.read_bytes())

    changes = live.found()
    assert [change.keep for change in changes] == [Keep.KNOWN]
    assert live.make(changes) == []

    assert live.has_stub


def test_code_that_has_changed_since_it_was_looked_at_stays(live: LiveFunction) -> None:
    live.put(PIPELINE)
    changes = live.found()
    live.put(OWN)

    (warning,) = live.make(changes)

    assert "api keeps the code that was deployed over its stub" in warning
    assert "changed again" in warning
    assert not live.has_stub


def test_code_is_not_replaced_where_it_cannot_be_kept(live: LiveFunction) -> None:
    live.put(PIPELINE)
    changes = live.found()
    live.table.delete_replaced(live.arn)

    assert [change.keep for change in live.found()] == [Keep.LOST]
    (warning,) = live.make(changes)

    assert "record" in warning
    assert not live.has_stub

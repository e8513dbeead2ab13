"""Functions whose code Terraform ignores, in the sandbox: the stub stands at their own handlers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from terralive_cli.code_changes.at_handlers import Instance
from terralive_cli.code_changes.changes import CodeChange, Keep
from terralive_cli.code_changes.ignored import Looked, StubsAtHandlers
from terralive_cli.fallback import versions
from terralive_cli.restoring.by_api import NotPutBackError
from terralive_cli.restoring.examination import Examination
from terralive_sandbox.info import SandboxInfo
from terralive_stub.broker.fallbacks import Replaced
from terralive_terraform.artifacts import STUB_RUNTIME, StubCoordinates, write_zip
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.marker import StageName
from terralive_testing.deployers.identities import SandboxAccounts
from terralive_testing.deployers.sandbox import Aws, code
from terralive_testing.fakes.broker import FakeTable

if TYPE_CHECKING:
    from types_boto3_lambda.literals import RuntimeType

API = "aws_lambda_function.api"
OWN = code('def handler(event, context): return "own"')
PIPELINE = code('def handler(event, context): return "pipeline"')
CODE = ("filename", "source_code_hash")


def stubs_of(info: SandboxInfo, folder: Path, stage: str, table: FakeTable) -> StubsAtHandlers:
    # Nothing listens there.
    coordinates = StubCoordinates("ws://127.0.0.1:9/stub", "shop", stage, bytes(range(32)))
    return StubsAtHandlers(
        SandboxAccounts(info),
        StageName("shop", stage),
        coordinates,
        folder / stage,
        table.get_replaced,
    )


class IgnoredFunction:
    """A function with its own code, of which a version is published and recorded.

    Attributes:
        aws: the sandbox.
        table: the stage's table.
        stubs: the stage's stubs.
        instance: the function.
    """

    def __init__(
        self,
        info: SandboxInfo,
        folder: Path,
        archive: bytes = OWN,
        runtime: RuntimeType = "python3.12",
    ) -> None:
        self.aws = Aws(info)
        self.table = FakeTable()
        self.stubs = stubs_of(info, folder, "dev", self.table)
        self.arn = self.aws.function(archive, runtime=runtime, timeout=3)
        own = self.aws.lambda_.publish_version(FunctionName=self.arn)
        self.table.put_replaced(Replaced(self.arn, own["Version"], own["CodeSha256"], made=True))
        state = DeployedFunction(self.arn.rpartition(":")[2], self.arn, handler="app.handler")
        self.instance = Instance(API, CODE, "app.handler", runtime, state)

    def looked(self) -> Looked:
        (found,) = self.stubs.look([self.instance])
        return found

    def change(self) -> CodeChange:
        change = self.looked().change
        assert change is not None
        return change

    def settings(self) -> dict[str, object]:
        now = self.aws.lambda_.get_function_configuration(FunctionName=self.arn)
        return {name: now[name] for name in ("Handler", "Runtime", "Description", "Timeout")}

    def answer(self) -> object:
        return json.loads(self.aws.lambda_.invoke(FunctionName=self.arn)["Payload"].read())


@pytest.fixture
def function(sandbox: SandboxInfo, tmp_path: Path) -> IgnoredFunction:
    return IgnoredFunction(sandbox, tmp_path)


def test_only_its_code_changes_and_the_stub_answers_at_its_own_handler(
    function: IgnoredFunction,
) -> None:
    before = function.settings()
    change = function.change()
    assert change.keep is Keep.VERSION

    stub = function.stubs.put(change)

    assert function.settings() == before
    answer = function.answer()
    assert isinstance(answer, dict)
    assert answer["errorType"].startswith("Terralive."), "it is the stub that answers"
    looked = function.looked()
    assert (looked.change, looked.reason, looked.stub) == (None, "", stub)


def test_the_stub_is_found_whatever_terraforms_state_says(
    function: IgnoredFunction, tmp_path: Path
) -> None:
    function.stubs.put(function.change())
    assert function.instance.function is not None

    examination = Examination(function.stubs.accounts, (), tmp_path)

    assert examination.examine({API: function.instance.function}).stubs == {API}


def test_the_stub_of_another_stage_names_its_holder(
    function: IgnoredFunction, sandbox: SandboxInfo, tmp_path: Path
) -> None:
    function.stubs.put(function.change())

    (looked,) = stubs_of(sandbox, tmp_path, "other", FakeTable()).look([function.instance])

    assert looked.holder == StageName("shop", "dev")
    assert looked.change is not None
    assert looked.change.keep is Keep.KNOWN


def test_code_without_a_version_that_has_it_stays(function: IgnoredFunction) -> None:
    function.aws.lambda_.update_function_code(FunctionName=function.arn, ZipFile=PIPELINE)

    with pytest.raises(NotPutBackError, match="no published version"):
        function.stubs.put(function.change())

    assert function.answer() == "pipeline"


def test_code_that_has_changed_since_the_look_stays(function: IgnoredFunction) -> None:
    change = function.change()
    function.aws.lambda_.update_function_code(FunctionName=function.arn, ZipFile=PIPELINE)

    with pytest.raises(NotPutBackError, match="changed since"):
        function.stubs.put(change)

    assert function.answer() == "pipeline"


NODE: Final = "nodejs22.x"
NODE_CODE = """
exports.handler = async (event, context) => {
  if (event.fails) throw new RangeError(event.fails);
  return { said: event.say, by: "node", client: context.clientContext };
};
"""


@pytest.fixture
def of_node(sandbox: SandboxInfo, tmp_path: Path) -> IgnoredFunction:
    """A function of Node.js, whose role may invoke the version with its own code."""
    archive = write_zip({"app.js": NODE_CODE.encode()}, tmp_path / "app.zip").path.read_bytes()
    made = IgnoredFunction(sandbox, tmp_path, archive, NODE)
    known = made.table.get_replaced(made.arn)
    assert known is not None
    role = made.aws.lambda_.get_function_configuration(FunctionName=made.arn)["Role"]
    versions.allow(made.aws.lambda_, made.arn, known.version, role, made.stubs.stage)
    return made


def test_a_function_of_node_gets_the_stubs_runtime_and_keeps_all_else(
    of_node: IgnoredFunction,
) -> None:
    before = of_node.settings()

    of_node.stubs.put(of_node.change())

    assert of_node.settings() == {**before, "Runtime": STUB_RUNTIME}
    answer = of_node.answer()
    assert isinstance(answer, dict)
    assert answer["errorType"].startswith("Terralive.")
    assert of_node.looked().change is None


def test_after_an_apply_by_hand_its_own_code_answers_until_it_is_live_again(
    of_node: IgnoredFunction,
) -> None:
    stub = of_node.stubs.put(of_node.change())
    lambda_ = of_node.aws.lambda_
    # What `terraform apply` does, which ignores the code.
    lambda_.update_function_configuration(FunctionName=of_node.arn, Runtime=NODE)

    client_context = base64.b64encode(json.dumps({"custom": {"a": "é"}}).encode()).decode()
    answer = lambda_.invoke(
        FunctionName=of_node.arn,
        Payload=json.dumps({"say": "é"}).encode(),
        ClientContext=client_context,
    )
    said = json.loads(answer["Payload"].read())
    assert (said["said"], said["by"]) == ("é", "node")
    failed = lambda_.invoke(FunctionName=of_node.arn, Payload=b'{"fails": "too far"}')
    assert "FunctionError" in failed
    error = json.loads(failed["Payload"].read())
    assert (error["errorType"], error["errorMessage"]) == ("RangeError", "too far")

    change = of_node.change()
    assert change.keep is Keep.KNOWN
    assert of_node.stubs.put(change) == stub
    assert of_node.settings()["Runtime"] == STUB_RUNTIME


def test_a_version_that_cannot_be_invoked_is_an_error_that_says_what_to_do(
    of_node: IgnoredFunction,
) -> None:
    of_node.stubs.put(of_node.change())
    known = of_node.table.get_replaced(of_node.arn)
    assert known is not None
    lambda_ = of_node.aws.lambda_
    versions.disallow(lambda_, of_node.arn, known.version, of_node.stubs.stage)
    lambda_.update_function_configuration(FunctionName=of_node.arn, Runtime=NODE)

    error = of_node.answer()

    assert isinstance(error, dict)
    assert error["errorType"] == "Terralive.NotLive"
    assert "HTTP 403" in error["errorMessage"]
    assert "`terralive restore` puts its own code back" in error["errorMessage"]

"""The version of a live function is published anew, with the settings of now, in the sandbox."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from terralive_cli.code_changes.renewing import Renewal, Stubs
from terralive_cli.fallback import versions
from terralive_cli.fallback.decision import Declared
from terralive_cli.fallback.published import description
from terralive_cli.restoring.by_api import NotPutBackError
from terralive_cli.restoring.packages import downloaded
from terralive_sandbox.info import SandboxInfo
from terralive_stub.broker.fallbacks import Replaced
from terralive_terraform.artifacts import (
    STUB_HANDLER,
    STUB_RUNTIME,
    StubCoordinates,
    build_stub_zip,
    write_zip,
)
from terralive_terraform.substitution.marker import StageName, live_description
from terralive_testing.deployers.sandbox import Aws, code
from terralive_testing.fakes.broker import FakeTable

if TYPE_CHECKING:
    from types_boto3_lambda.literals import RuntimeType

STAGE = StageName("shop", "dev")
PYTHON_CODE = b'import os\ndef handler(event, context): return os.environ["TABLE"]\n'
OWN = code(PYTHON_CODE.decode())
PIPELINE = code('def handler(event, context): return "pipeline"')
NODE: Final = "nodejs22.x"
NODE_CODE = b"exports.handler = async () => process.env.TABLE;\n"
UPDATES: Final = ("UpdateFunctionCode", "UpdateFunctionConfiguration")


def no_upload(_: bytes) -> dict[str, str]:
    message = "nothing is that large here"
    raise NotPutBackError(message)


class LiveFunction:
    """A function that carries the stub of a stage, with the version that has its own code.

    Attributes:
        aws: the sandbox.
        arn: the function.
        role: its role, which may do nothing of itself.
        table: the stage's table.
        renewal: the work.
    """

    def __init__(
        self,
        info: SandboxInfo,
        folder: Path,
        archive: bytes = OWN,
        runtime: RuntimeType = "python3.12",
        *,
        timeout: int = 0,
    ) -> None:
        self.aws = Aws(info)
        self.role = self.aws.role()
        self.arn = self.aws.function(
            archive, runtime=runtime, timeout=3, role=self.role, environment={"TABLE": "old"}
        )
        client = self.aws.lambda_
        own = client.publish_version(FunctionName=self.arn, Description=description(STAGE))
        self.table = FakeTable()
        self.table.put_replaced(Replaced(self.arn, own["Version"], own["CodeSha256"], made=True))
        versions.allow(client, self.arn, own["Version"], self.role, STAGE)
        # Nothing listens there.
        coordinates = StubCoordinates("ws://127.0.0.1:9/stub", "shop", "dev", bytes(range(32)))
        stub = build_stub_zip(coordinates, folder)
        client.update_function_code(FunctionName=self.arn, ZipFile=stub.path.read_bytes())
        client.update_function_configuration(
            FunctionName=self.arn,
            Handler=STUB_HANDLER,
            Runtime=STUB_RUNTIME,
            Description=live_description(STAGE),
        )
        self.renewal = Renewal(
            self.arn,
            Declared(),
            timeout,
            client,
            STAGE,
            self.table,
            Stubs(coordinates, stub, folder, no_upload),
        )

    def change_table(self) -> None:
        """Change a setting, as Terraform does while the function is live."""
        self.aws.lambda_.update_function_configuration(
            FunctionName=self.arn, Environment={"Variables": {"TABLE": "new"}}
        )

    def after_each_update(self, action: Callable[[], object]) -> None:
        for operation in UPDATES:
            event = f"after-call.lambda.{operation}"
            self.aws.lambda_.meta.events.register(event, partial(_called, action))

    def settings(self) -> dict[str, object]:
        now = self.aws.lambda_.get_function_configuration(FunctionName=self.arn)
        names = ("Handler", "Runtime", "Description", "Timeout", "CodeSha256", "Environment")
        return {name: now[name] for name in names}  # type: ignore[literal-required]  # by name

    def record(self) -> Replaced:
        record = self.table.get_replaced(self.arn)
        assert record is not None
        return record

    def numbers(self) -> list[str]:
        found = self.aws.lambda_.list_versions_by_function(FunctionName=self.arn)["Versions"]
        return [item["Version"] for item in found]

    def answer(self, aws: Aws | None = None, version: str = "$LATEST") -> object:
        client = (aws or self.aws).lambda_
        answer = client.invoke(FunctionName=self.arn, Qualifier=version)
        return json.loads(answer["Payload"].read())


def _called(action: Callable[[], object], **_: object) -> None:
    action()


def handler_file(aws: Aws, arn: str) -> tuple[str, bool]:
    """Return the runtime of a function, and whether its zip has the file of its handler."""
    function = aws.lambda_.get_function(FunctionName=arn)
    configuration = function["Configuration"]
    with zipfile.ZipFile(io.BytesIO(downloaded(function["Code"]["Location"]))) as archive:
        names = archive.namelist()
    ending = ".py"
    if configuration["Runtime"] == NODE:
        ending = ".js"
    module = configuration["Handler"].rpartition(".")[0].replace(".", "/")
    return configuration["Runtime"], f"{module}{ending}" in names


@pytest.fixture
def function(sandbox: SandboxInfo, tmp_path: Path) -> LiveFunction:
    return LiveFunction(sandbox, tmp_path)


def test_the_version_has_the_settings_of_now_and_the_function_has_its_stub(
    function: LiveFunction,
) -> None:
    function.change_table()
    before = function.settings()

    assert function.renewal.done() == ""

    assert function.settings() == before
    assert (function.record().version, function.record().made) == ("2", True)
    assert function.numbers() == ["$LATEST", "2"], "the former version was terralive's"
    as_role = function.aws.assume(function.role)
    assert function.answer(as_role, "2") == "new"
    (version,) = [
        item
        for item in function.aws.lambda_.list_versions_by_function(FunctionName=function.arn)[
            "Versions"
        ]
        if item["Version"] == "2"
    ]
    assert version["Description"] == description(STAGE)
    assert (version["Handler"], version["Runtime"]) == ("app.handler", "python3.12")


@pytest.mark.parametrize(
    ("runtime", "files"),
    [("python3.12", {"app.py": PYTHON_CODE}), (NODE, {"app.js": NODE_CODE})],
)
def test_code_and_handler_fit_together_after_each_step(
    sandbox: SandboxInfo, tmp_path: Path, runtime: RuntimeType, files: dict[str, bytes]
) -> None:
    archive = write_zip(files, tmp_path / "app.zip").path.read_bytes()
    function = LiveFunction(sandbox, tmp_path, archive, runtime)
    function.change_table()
    seen: list[tuple[str, bool]] = []
    other = Aws(sandbox)
    function.after_each_update(lambda: seen.append(handler_file(other, function.arn)))

    assert function.renewal.done() == ""

    own, stub = (runtime, True), (STUB_RUNTIME, True)
    assert seen == [stub, own, own, own, stub, stub]
    assert function.answer(version="2") == "new"


def test_a_version_with_the_settings_of_now_stays(function: LiveFunction) -> None:
    assert function.renewal.done() == ""
    assert (function.record().version, function.numbers()) == ("1", ["$LATEST", "1"])


def test_the_timeout_of_the_configuration_counts_and_not_that_of_a_debugger(
    sandbox: SandboxInfo, tmp_path: Path
) -> None:
    function = LiveFunction(sandbox, tmp_path, timeout=30)
    function.aws.lambda_.update_function_configuration(FunctionName=function.arn, Timeout=900)

    assert function.renewal.done() == ""

    assert function.settings()["Timeout"] == 900
    version = function.aws.lambda_.get_function_configuration(
        FunctionName=function.arn, Qualifier="2"
    )
    assert version["Timeout"] == 30


def test_a_teams_own_version_stays_beside_the_new_one(function: LiveFunction) -> None:
    client = function.aws.lambda_
    own = function.record()
    function.table.put_replaced(
        Replaced(function.arn, own.version, own.code_sha256, made=False, aliases={"live": "1"})
    )
    function.change_table()

    assert function.renewal.done() == ""

    assert function.numbers() == ["$LATEST", "1", "2"]
    record = function.record()
    assert (record.version, record.made, record.aliases) == ("2", True, {"live": "1"})
    assert client.get_policy(FunctionName=function.arn, Qualifier="1")


def test_another_role_may_invoke_the_version_of_a_function_that_is_not_renewed(
    function: LiveFunction,
) -> None:
    role = function.aws.role()
    function.aws.lambda_.update_function_configuration(FunctionName=function.arn, Role=role)
    renewal = Renewal(
        function.arn,
        Declared(readers=("output.version",)),
        0,
        function.aws.lambda_,
        STAGE,
        function.table,
        function.renewal.stubs,
    )

    assert renewal.done() == ""

    assert function.numbers() == ["$LATEST", "1"]
    assert function.answer(function.aws.assume(role), "1") == "old"


def test_code_that_was_deployed_over_the_stub_stays(function: LiveFunction) -> None:
    function.change_table()
    function.aws.lambda_.update_function_code(FunctionName=function.arn, ZipFile=PIPELINE)
    before = function.settings()

    assert "not this stage's stub" in function.renewal.done()

    assert function.settings() == before
    assert function.numbers() == ["$LATEST", "1"]


def test_code_that_is_deployed_meanwhile_stays_and_is_told(
    function: LiveFunction, sandbox: SandboxInfo
) -> None:
    function.change_table()
    deploy = partial(
        Aws(sandbox).lambda_.update_function_code, FunctionName=function.arn, ZipFile=PIPELINE
    )
    function.after_each_update(deploy)

    assert "other code was deployed meanwhile" in function.renewal.done()

    assert function.numbers() == ["$LATEST", "1"]
    assert function.record().version == "1"


def test_a_refused_publication_puts_the_stub_back(
    function: LiveFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    function.change_table()
    before = function.settings()

    def refused(*_: object) -> str:
        message = "AWS refuses it"
        raise NotPutBackError(message)

    monkeypatch.setattr(versions, "publish", refused)
    assert function.renewal.done() == "AWS refuses it"

    assert function.settings() == before
    assert (function.record().version, function.numbers()) == ("1", ["$LATEST", "1"])

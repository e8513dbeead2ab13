"""The broker's code after an apply that has failed, in the sandbox: it is what the state says."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_cli.joining.broker_code import put_right
from terralive_sandbox.info import SandboxInfo
from terralive_stub.errors import TerraliveError
from terralive_terraform.output.state import DeployedFunction, Package
from terralive_testing.deployers.sandbox import Aws, code

OLD = code('def handler(event, context): return "old"')
NEW = code('def handler(event, context): return "new"')
ZIP = "broker.zip"


def sha256(archive: bytes) -> str:
    return base64.b64encode(hashlib.sha256(archive).digest()).decode()


def test_an_update_of_the_brokers_code_that_has_failed_is_made_again(
    sandbox: SandboxInfo, tmp_path: Path
) -> None:
    aws = Aws(sandbox)
    broker = aws.function(OLD)
    (tmp_path / ZIP).write_bytes(NEW)
    state = DeployedFunction(
        broker.rpartition(":")[2], broker, package=Package(filename=ZIP), code_hash=sha256(NEW)
    )

    def deployed() -> dict[str, object]:
        return dict(aws.lambda_.get_function_configuration(FunctionName=broker))

    put_right(aws.lambda_, state, tmp_path)
    now = deployed()
    assert now["CodeSha256"] == sha256(NEW)
    # It is left alone when it is right.
    put_right(aws.lambda_, state, tmp_path)
    assert deployed()["LastModified"] == now["LastModified"]

    gone = replace(state, package=Package(filename="gone.zip"), code_hash=sha256(OLD))
    with pytest.raises(TerraliveError) as error:
        put_right(aws.lambda_, gone, tmp_path)
    assert error.value.reference == "broker-outdated"
    assert "gone.zip cannot be read" in error.value.message

"""A live function whose deployed code is a published version, as `terralive start` leaves it."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from terralive_stub.broker.aws import DynamoDBTable
from terralive_stub.broker.fallbacks import Replaced
from terralive_terraform.artifacts import (
    STREAMING_STUB_HANDLER,
    STUB_HANDLER,
    STUB_RUNTIME,
    StubCoordinates,
    build_stub_zip,
)
from terralive_testing.deployers.sandbox import Aws, code
from terralive_testing.deployers.stage import Stage


@dataclass(frozen=True, slots=True)
class WithFallback:
    """A live function.

    Attributes:
        arn: its ARN.
        role: its role's ARN.
        version: the version that has its deployed code.
    """

    arn: str
    role: str
    version: str


def deploy_streaming(aws: Aws, stage: Stage, folder: Path, source: str) -> WithFallback:
    """Do the same with a Node.js handler, app.js, whose callers take streamed responses."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.js", source)
    arn = aws.function(buffer.getvalue(), timeout=20, runtime="nodejs22.x")
    return _replace(aws, stage, folder, arn, handler=STREAMING_STUB_HANDLER)


def deploy(
    aws: Aws, stage: Stage, folder: Path, source: str, *, timeout: int = 20, alias: str = ""
) -> WithFallback:
    """Create a function, publish its code, put the stub in its place, and record the version.

    Args:
        aws: the sandbox's clients.
        stage: the stage.
        folder: the folder in which the stub's zip is built.
        source: the deployed code, app.py.
        timeout: the function's timeout in seconds.
        alias: an alias that named a version with another code, "" for none.
    """
    api = aws.lambda_
    old = ""
    if alias:
        arn = aws.function(source.replace("deployed", "older"), timeout=timeout)
        old = api.publish_version(FunctionName=arn)["Version"]
        api.create_alias(FunctionName=arn, Name=alias, FunctionVersion=old)
        api.update_function_code(FunctionName=arn, ZipFile=code(source))
    else:
        arn = aws.function(source, timeout=timeout)
    return _replace(aws, stage, folder, arn, alias=alias, old=old)


def _replace(
    aws: Aws,
    stage: Stage,
    folder: Path,
    arn: str,
    *,
    handler: str = STUB_HANDLER,
    alias: str = "",
    old: str = "",
) -> WithFallback:
    """Publish a function's code, put the stub in its place, and record the version."""
    api = aws.lambda_
    role = api.get_function_configuration(FunctionName=arn)["Role"]
    version = api.publish_version(FunctionName=arn)["Version"]
    for number in {version, old} - {""}:
        api.add_permission(
            FunctionName=arn,
            Qualifier=number,
            StatementId=f"terralive-{number}",
            Action="lambda:InvokeFunction",
            Principal=role,
        )
    if alias:
        api.update_alias(FunctionName=arn, Name=alias, FunctionVersion="$LATEST")
    coordinates = StubCoordinates(stage.stub_url, "test", stage.name, stage.secret)
    stub = build_stub_zip(coordinates, folder).path.read_bytes()
    api.update_function_code(FunctionName=arn, ZipFile=stub)
    api.update_function_configuration(FunctionName=arn, Handler=handler, Runtime=STUB_RUNTIME)
    aliases = {}
    if alias:
        aliases[alias] = old
    record = Replaced(arn, version, code_sha256="", made=True, aliases=aliases)
    DynamoDBTable(aws.dynamodb, stage.name).put_replaced(record)
    return WithFallback(arn, role, version)

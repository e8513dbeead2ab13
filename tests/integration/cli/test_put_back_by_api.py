"""A version's code and settings go back to functions that carry a stub, in the sandbox."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_cli.restoring import by_api
from terralive_cli.restoring.by_api import NotPutBackError
from terralive_cli.restoring.packages import planned_sha256
from terralive_sandbox.info import SandboxInfo
from terralive_stub.shared.json_documents import Json
from terralive_terraform.output.shown_plan import PlannedResource, ShownPlan
from terralive_testing.deployers.sandbox import Aws, code, unique

OWN = code('def handler(event, context): return "own"')
STUB = code("", stub='def handler(event, context): return "stub"')
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


def _no_upload(_data: bytes) -> dict[str, str]:
    raise AssertionError("a small zip file needs no bucket")


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


def _make_live(aws: Aws, arn: str) -> None:
    aws.lambda_.update_function_configuration(
        FunctionName=arn, Handler="stub.handler", Description="Live by terralive", Timeout=900
    )
    aws.lambda_.update_function_code(FunctionName=arn, ZipFile=STUB)


def _answer(aws: Aws, arn: str, qualifier: str = "$LATEST") -> object:
    answer = aws.lambda_.invoke(FunctionName=arn, Qualifier=qualifier)
    return json.loads(answer["Payload"].read())


def test_the_version_goes_back_with_its_settings_and_aliases(aws: Aws) -> None:
    arn = aws.function(OWN)
    own = by_api.read_version(aws.lambda_, arn)
    version = aws.lambda_.publish_version(FunctionName=arn)["Version"]
    for alias in ("live", "pinned"):
        aws.lambda_.create_alias(FunctionName=arn, Name=alias, FunctionVersion=version)
    _make_live(aws, arn)
    aws.lambda_.update_alias(FunctionName=arn, Name="live", FunctionVersion="$LATEST")
    assert _answer(aws, arn) == _answer(aws, arn, "live") == "stub"

    found = by_api.read_version(aws.lambda_, arn, version)
    by_api.put_version_back(aws.lambda_, found, lambda _: found.settings, _no_upload)
    by_api.put_aliases_back(aws.lambda_, arn, {"live": version, "pinned": "17", "gone": version})

    assert _answer(aws, arn) == "own"
    again = by_api.read_version(aws.lambda_, arn)
    assert (again.sha256, again.settings) == (own.sha256, own.settings)
    for alias in ("live", "pinned"):
        pointed = aws.lambda_.get_alias(FunctionName=arn, Name=alias)
        assert pointed["FunctionVersion"] == version


def test_an_image_goes_back_by_its_name(aws: Aws) -> None:
    arn = aws.lambda_.create_function(
        FunctionName=unique("image"),
        PackageType="Image",
        Role=aws.role(),
        Code={"ImageUri": f"{ECR}/acme/mail:1"},
        ImageConfig={"Command": ["app.run"]},
    )["FunctionArn"]
    version = aws.lambda_.publish_version(FunctionName=arn)["Version"]
    aws.lambda_.update_function_configuration(
        FunctionName=arn, ImageConfig={"Command": ["v2", "wss://stage.example"]}
    )
    aws.lambda_.update_function_code(FunctionName=arn, ImageUri=f"{ECR}/terralive/stub:v2")

    found = by_api.read_version(aws.lambda_, arn, version)
    by_api.put_version_back(aws.lambda_, found, lambda _: found.settings, _no_upload)

    latest = by_api.read_version(aws.lambda_, arn)
    assert latest.image == f"{ECR}/acme/mail:1"
    assert latest.settings.image_config["Command"] == ["app.run"]


def test_a_large_zip_goes_back_from_s3(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = aws.function(OWN)
    version = aws.lambda_.publish_version(FunctionName=arn)["Version"]
    _make_live(aws, arn)
    bucket = unique("stage")
    aws.s3.create_bucket(Bucket=bucket)
    # A real one would have 50 MB.
    monkeypatch.setattr(by_api, "DIRECT_BYTES", len(OWN) - 1)

    def upload(data: bytes) -> dict[str, str]:
        aws.s3.put_object(Bucket=bucket, Key="api.zip", Body=data)
        return {"S3Bucket": bucket, "S3Key": "api.zip"}

    found = by_api.read_version(aws.lambda_, arn, version)
    by_api.put_version_back(aws.lambda_, found, lambda _: found.settings, upload)

    assert _answer(aws, arn) == "own"


def test_the_zip_file_that_a_plan_would_deploy_is_known_by_its_sum(
    aws: Aws, tmp_path: Path
) -> None:
    arn = aws.function(OWN)
    own = by_api.read_version(aws.lambda_, arn)
    (tmp_path / "own.zip").write_bytes(OWN)
    bucket = unique("code")
    aws.s3.create_bucket(Bucket=bucket)
    for key, content in (("own.zip", OWN), ("edited.zip", code("edited = True"))):
        aws.s3.put_object(Bucket=bucket, Key=key, Body=content)

    def planned(after: dict[str, Json], *others: PlannedResource) -> str:
        function = PlannedResource(
            "aws_lambda_function.a", "aws_lambda_function", "update", {}, after
        )
        plan = ShownPlan((function, *others), is_first=False)
        return planned_sha256(function, plan, tmp_path, own, lambda: aws.s3)

    assert planned({"filename": "own.zip"}) == own.sha256
    assert planned({"filename": "gone.zip"}) == ""
    assert planned({"s3_bucket": bucket, "s3_key": "own.zip"}) == own.sha256
    assert planned({"s3_bucket": bucket, "s3_key": "edited.zip"}) == ""
    assert planned({"s3_bucket": bucket, "s3_key": "gone.zip"}) == ""
    unreadable = {"s3_bucket": "of-another-account", "s3_key": "own.zip"}
    assert planned({**unreadable, "source_code_hash": own.sha256}) == own.sha256
    assert planned({**unreadable, "source_code_hash": "another"}) == ""
    upload = PlannedResource(
        "aws_s3_object.a",
        "aws_s3_object",
        "update",
        {"bucket": bucket, "key": "own.zip"},
        {"bucket": bucket, "key": "own.zip"},
    )
    assert planned({"s3_bucket": bucket, "s3_key": "own.zip"}, upload) == ""


def test_what_is_not_there_is_named(aws: Aws) -> None:
    arn = aws.function(OWN)
    with pytest.raises(NotPutBackError, match="Function not found"):
        by_api.read_version(aws.lambda_, arn, "17")
    latest = replace(by_api.read_version(aws.lambda_, arn), sha256="other", location="")
    with pytest.raises(NotPutBackError, match="cannot be downloaded from here"):
        by_api.put_version_back(aws.lambda_, latest, lambda _: latest.settings, _no_upload)

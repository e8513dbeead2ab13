"""Puts a function's own code back by Lambda's API, where Terraform sees no change.

The provider writes a function's configuration first and its code later. If that second step fails
or is interrupted, the provider keeps the new hash in the state, at least up to its version 5:
https://github.com/hashicorp/terraform-provider-aws/issues/42826
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from terralive_cli.restoring.by_api import NotPutBackError, refusals, update_code
from terralive_terraform.output.state import Package

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient


def put_back(client: LambdaClient, arn: str, package: Package, directory: Path) -> None:
    """Give a function the code that its package names, and wait until it has it.

    Then publish a version, if the configuration sets `publish`. Lambda publishes no second version
    of the same code and configuration.

    https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionCode.html

    Args:
        client: the client of Lambda for the function's account and region.
        arn: the function's ARN.
        package: the code, as Terraform's state names it.
        directory: the folder that Terraform runs in.

    Raises:
        NotPutBackError: there is no such code, or AWS refuses it.
    """
    update_code(client, arn, code_arguments(package, directory))
    if package.publish:
        with refusals():
            client.publish_version(FunctionName=arn)


def code_arguments(package: Package, directory: Path) -> dict[str, Any]:
    """Return the arguments of UpdateFunctionCode for a package, as the provider sends them.

    Raises:
        NotPutBackError: the zip file cannot be read, or the state names no code.
    """
    arguments: dict[str, Any] = {}
    if package.filename:
        file = directory / package.filename
        try:
            arguments["ZipFile"] = file.read_bytes()
        except OSError as error:
            message = f"{package.filename} cannot be read ({error.strerror}); build it first"
            raise NotPutBackError(message) from None
    elif package.image:
        arguments["ImageUri"] = package.image
    elif package.bucket:
        arguments["S3Bucket"] = package.bucket
        arguments["S3Key"] = package.key
        if package.object_version:
            arguments["S3ObjectVersion"] = package.object_version
    else:
        message = "Terraform's state does not name its code"
        raise NotPutBackError(message)
    if package.kms_key:
        arguments["SourceKMSKeyArn"] = package.kms_key
    if package.architectures:
        arguments["Architectures"] = list(package.architectures)
    return arguments


def described(package: Package) -> str:
    """Return the name of a package for a person."""
    if package.bucket:
        return f"s3://{package.bucket}/{package.key}"
    return package.filename or package.image

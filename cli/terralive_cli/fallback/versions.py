"""Lists, publishes and deletes versions of functions, and lets a role invoke them.

It never deletes a function: every deletion names the number of a version.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from terralive_cli.fallback.published import Published, description
from terralive_stub.shared.json_documents import Json, text
from terralive_terraform.substitution.marker import StageName

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

_INVOKE: Final = "lambda:InvokeFunction"
# An update of the function, and the preparation of a version, take seconds; SnapStart's minutes.
_WAIT: Final[Any] = {"Delay": 1, "MaxAttempts": 120}
_WAIT_FOR_SNAPSHOT: Final[Any] = {"Delay": 5, "MaxAttempts": 180}
_ACTIVE: Final = "Active"


class NotAVersionError(Exception):
    """A text that should name a version is no number."""


def published(client: LambdaClient, arn: str) -> Published:
    """Return a function's configuration and those of its versions.

    https://docs.aws.amazon.com/lambda/latest/api/API_ListVersionsByFunction.html

    Args:
        client: the client of Lambda for the function's account and region.
        arn: the function's ARN, without a qualifier.

    Raises:
        ClientError, BotoCoreError: AWS refuses it, or did not answer.
    """
    found: list[Any] = []
    for page in client.get_paginator("list_versions_by_function").paginate(FunctionName=arn):
        found += page["Versions"]
    return Published.of(found)


def publish(client: LambdaClient, arn: str, latest: Mapping[str, Json], stage: StageName) -> str:
    """Publish a version of a function, and wait until it can be invoked. Return its number.

    Lambda answers with the newest version where nothing has changed since that was published:
    https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html

    Args:
        client: the client of Lambda for the function's account and region.
        arn: the function's ARN, without a qualifier.
        latest: the function's configuration; other code is not published.
        stage: the stage that the version is for.

    Raises:
        ClientError, BotoCoreError: AWS refuses it, or did not answer.
    """
    from botocore.exceptions import WaiterError  # noqa: PLC0415  # heavy

    arguments: Any = {
        "FunctionName": arn,
        "CodeSha256": text(latest, "CodeSha256"),
        "Description": description(stage, text(latest, "Description")),
    }
    try:
        answer = client.publish_version(**arguments)
    except client.exceptions.ResourceConflictException:
        # An update of the function is under way. One that has failed is no obstacle.
        with suppress(WaiterError):
            client.get_waiter("function_updated_v2").wait(FunctionName=arn, WaiterConfig=_WAIT)
        answer = client.publish_version(**arguments)
    version = answer["Version"]
    if answer.get("State", _ACTIVE) != _ACTIVE:
        settings = _WAIT
        if answer.get("SnapStart", {}).get("ApplyOn") == "PublishedVersions":
            settings = _WAIT_FOR_SNAPSHOT
        waiter = client.get_waiter("published_version_active")
        waiter.wait(FunctionName=arn, Qualifier=version, WaiterConfig=settings)
    return version


def delete(client: LambdaClient, arn: str, version: str) -> str:
    """Delete a version, unless an alias names it. Return the alias that does; "" for none.

    https://docs.aws.amazon.com/lambda/latest/api/API_DeleteFunction.html

    Args:
        client: the client of Lambda for the function's account and region.
        arn: the function's ARN, without a qualifier.
        version: the version's number.

    Raises:
        ClientError, BotoCoreError: AWS refuses it, or did not answer.
    """
    # Without a version, Lambda would delete the function.
    if not (version.isascii() and version.isdigit()):
        raise NotAVersionError(version)
    named = client.list_aliases(FunctionName=arn, FunctionVersion=version)["Aliases"]
    for alias in named:
        return alias["Name"]
    with suppress(client.exceptions.ResourceNotFoundException):
        client.delete_function(FunctionName=arn, Qualifier=version)
    return ""


def allow(client: LambdaClient, arn: str, version: str, role: str, stage: StageName) -> None:
    """Let a role invoke one version of a function. No role is changed.

    https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html

    Args:
        client: the client of Lambda for the function's account and region.
        arn: the function's ARN, without a qualifier.
        version: the version's number.
        role: the role's ARN.
        stage: the stage that the permission is for.

    Raises:
        ClientError, BotoCoreError: AWS refuses it, or did not answer.
    """
    arguments: Any = {
        "FunctionName": arn,
        "Qualifier": version,
        "StatementId": statement_id(stage),
        "Action": _INVOKE,
        "Principal": role,
    }
    try:
        client.add_permission(**arguments)
    except client.exceptions.ResourceConflictException:
        # It is there already, perhaps for a role that has been deleted and created again.
        disallow(client, arn, version, stage)
        client.add_permission(**arguments)


def disallow(client: LambdaClient, arn: str, version: str, stage: StageName) -> None:
    """Take the permission of `allow` back, where it is there; it raises what that raises."""
    with suppress(client.exceptions.ResourceNotFoundException):
        client.remove_permission(
            FunctionName=arn, Qualifier=version, StatementId=statement_id(stage)
        )


def statement_id(stage: StageName) -> str:
    """Return the id of the permission of a stage; Lambda allows 100 characters."""
    return f"terralive-{stage.app}-{stage.stage}"[:100]

"""Reads the code of deployed functions from Lambda: few calls, whatever their number.

boto3 is imported by the caller's session; this module only uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from terralive_cli.live.stub_check import DeployedCode, Look
from terralive_stub.errors import CredentialsError
from terralive_stub.shared.arns import Place, place_of

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient
    from types_boto3_lambda.type_defs import (
        FunctionConfigurationResponseTypeDef,
        FunctionConfigurationTypeDef,
    )

# `GetFunctionConfiguration` asks for one function, `ListFunctions` answers with 50 a page, of the
# whole account.
_MOST_SINGLE_CALLS: Final = 10
_DENIED: Final = frozenset({"AccessDeniedException", "AccessDenied", "UnrecognizedClientException"})


class DeployedCodeReader:
    """Reads the code of functions by their ARNs.

    Args:
        client: returns the client of Lambda for an account and a region; see `Accounts.client`.
    """

    def __init__(self, client: Callable[[str, str], LambdaClient]) -> None:
        self._client = client

    def read(self, arns: Iterable[str]) -> Look:
        """Look at functions.

        Raises:
            ClientError, BotoCoreError: AWS did not answer.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        found: dict[str, DeployedCode | None] = {}
        refusal = ""
        not_entered: dict[str, str] = {}
        for place, group in _by_place(arns).items():
            try:
                client = self._client(place.account, place.region)
            except (BotoCoreError, CredentialsError) as error:
                not_entered[place.account] = str(error)
                continue
            try:
                found.update(_read(client, group))
            except ClientError as error:
                if error.response["Error"].get("Code", "") not in _DENIED:
                    raise
                refusal = error.response["Error"].get("Message", "") or str(error)
        return Look(found, refusal, not_entered)


def _by_place(arns: Iterable[str]) -> Mapping[Place, list[str]]:
    groups: dict[Place, list[str]] = {}
    for arn in arns:
        groups.setdefault(place_of(arn), []).append(arn)
    return groups


def _read(client: LambdaClient, arns: list[str]) -> dict[str, DeployedCode | None]:
    if len(arns) <= _MOST_SINGLE_CALLS:
        return {arn: _one(client, arn) for arn in arns}
    return _listed(client, arns)


def _one(client: LambdaClient, arn: str) -> DeployedCode | None:
    try:
        return _code(client.get_function_configuration(FunctionName=arn))
    except client.exceptions.ResourceNotFoundException:
        return None


def _listed(client: LambdaClient, arns: list[str]) -> dict[str, DeployedCode | None]:
    """Read pages of all functions until every wanted one was in them."""
    found: dict[str, DeployedCode | None] = {}
    for page in client.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            if function["FunctionArn"] in arns:
                found[function["FunctionArn"]] = _code(function)
        if len(found) == len(arns):
            break
    return {arn: found.get(arn) for arn in arns}


def _code(
    function: FunctionConfigurationTypeDef | FunctionConfigurationResponseTypeDef,
) -> DeployedCode:
    image = function.get("ImageConfigResponse", {}).get("ImageConfig", {})
    return DeployedCode(
        sha256=function.get("CodeSha256", ""),
        handler=function.get("Handler", ""),
        command=tuple(image.get("Command", ())),
        description=function.get("Description", ""),
        modified=function.get("LastModified", ""),
    )

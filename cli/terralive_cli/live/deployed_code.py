"""Reads the code of deployed functions from Lambda: few calls, whatever their number.

boto3 is imported by the caller's session; this module only uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from terralive_cli.live.stub_check import DeployedCode, Look
from terralive_stub.errors import CredentialsError
from terralive_stub.shared.arns import Place, place_of

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from types_boto3_lambda.client import LambdaClient

CALLS_AT_ONCE: Final = 10
# Lambda takes 15 calls a second of most kinds, and 100 of `GetFunction`:
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#api-requests
_MOST_CONFIGURATIONS: Final = 10
_MOST_FUNCTIONS: Final = 50
_DENIED: Final = frozenset({"AccessDeniedException", "AccessDenied", "UnrecognizedClientException"})


class Call(Enum):
    """The call that asks for one function. `ListFunctions` answers with 50, of the whole account.

    The value is the largest number of functions that are asked for one by one.
    """

    CONFIGURATION = _MOST_CONFIGURATIONS
    FUNCTION = _MOST_FUNCTIONS


class DeployedCodeReader:
    """Reads the code of functions by their ARNs.

    Args:
        client: returns the client of Lambda for an account and a region; see `Accounts.client`.
        call: the call that asks for one function.
    """

    def __init__(
        self, client: Callable[[str, str], LambdaClient], call: Call = Call.CONFIGURATION
    ) -> None:
        self._client = client
        self._call = call

    def read(self, arns: Iterable[str]) -> Look:
        """Look at functions.

        Raises:
            ClientError, BotoCoreError: AWS did not answer.
        """
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415  # heavy

        found: dict[str, DeployedCode | None] = {}
        refusal = ""
        not_entered: dict[str, str] = {}
        for place, group in by_place(arns).items():
            try:
                client = self._client(place.account, place.region)
            except (BotoCoreError, CredentialsError) as error:
                not_entered[place.account] = str(error)
                continue
            for arn, answer in self._read(client, group).items():
                if isinstance(answer, _Refused):
                    refusal = answer.message
                else:
                    found[arn] = answer
        return Look(found, refusal, not_entered)

    def _read(
        self, client: LambdaClient, arns: Collection[str]
    ) -> Mapping[str, DeployedCode | _Refused | None]:
        if len(arns) > self._call.value:
            listed = _listed(client, arns)
            if not isinstance(listed, _Refused):
                return listed
            # The caller may still ask for these functions.
        with ThreadPoolExecutor(CALLS_AT_ONCE, "code-look") as pool:
            return dict(zip(arns, pool.map(partial(_one, client, self._call), arns), strict=True))


@dataclass(frozen=True, slots=True)
class _Refused:
    """AWS's words to a caller who may not look."""

    message: str


def by_place(arns: Iterable[str]) -> Mapping[Place, list[str]]:
    """Return ARNs by the account and region that they name."""
    groups: dict[Place, list[str]] = {}
    for arn in arns:
        groups.setdefault(place_of(arn), []).append(arn)
    return groups


def _one(client: LambdaClient, call: Call, arn: str) -> DeployedCode | _Refused | None:
    from botocore.exceptions import ClientError  # noqa: PLC0415  # heavy

    try:
        if call is Call.FUNCTION:
            return described_code(client.get_function(FunctionName=arn)["Configuration"])
        return described_code(client.get_function_configuration(FunctionName=arn))
    except client.exceptions.ResourceNotFoundException:
        return None
    except ClientError as error:
        return _refused(error)


def _listed(
    client: LambdaClient, arns: Collection[str]
) -> dict[str, DeployedCode | _Refused | None] | _Refused:
    """Read pages of all functions until every wanted one was in them."""
    from botocore.exceptions import ClientError  # noqa: PLC0415  # heavy

    wanted = frozenset(arns)
    found: dict[str, DeployedCode] = {}
    try:
        for page in client.get_paginator("list_functions").paginate():
            for function in page["Functions"]:
                if function["FunctionArn"] in wanted:
                    found[function["FunctionArn"]] = described_code(function)
            if len(found) == len(wanted):
                break
    except ClientError as error:
        return _refused(error)
    return {arn: found.get(arn) for arn in arns}


def _refused(error: ClientError) -> _Refused:
    """Return a refusal; any other error is raised."""
    if error.response["Error"].get("Code", "") not in _DENIED:
        raise error
    return _Refused(error.response["Error"].get("Message", "") or str(error))


def described_code(function: Mapping[str, Any]) -> DeployedCode:
    """Return the code of a function, from its configuration as Lambda describes it."""
    image = (function.get("ImageConfigResponse") or {}).get("ImageConfig") or {}
    return DeployedCode(
        sha256=function.get("CodeSha256", ""),
        handler=function.get("Handler", ""),
        command=tuple(image.get("Command", ())),
        description=function.get("Description", ""),
        modified=function.get("LastModified", ""),
        size=function.get("CodeSize", 0),
        is_image=function.get("PackageType") == "Image",
        runtime=function.get("Runtime", ""),
    )

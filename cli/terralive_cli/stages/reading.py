"""Reads debug stacks of an account: tags, items of their tables, functions. It changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from terralive_cli.deploy.aws import Caller, explained
from terralive_cli.joining.description import KEY, from_item
from terralive_cli.live.deployed_code import CALLS_AT_ONCE, described_code
from terralive_cli.live.stub_check import DeployedCode
from terralive_cli.stages.looks import Functions, StackItems, StackLook
from terralive_cli.stages.tagged import APP, TaggedResource, TaggedStack, stacks_of

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_lambda.client import LambdaClient

_log: Final = logging.getLogger("terralive.cli")
_Value = TypeVar("_Value")
_MISSING: Final = "ResourceNotFoundException"
_MILLISECONDS: Final = 1000


class AccountReader:
    """Reads what is known of debug stacks in the caller's account and region.

    Args:
        caller: the caller.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        # Made here: a session makes clients for one thread at a time, and any thread may use them
        # (https://docs.aws.amazon.com/boto3/latest/guide/session.html).
        self._dynamodb: DynamoDBClient = self._client("dynamodb")
        self._lambda: LambdaClient = self._client("lambda")

    def stacks(self) -> tuple[TaggedStack, ...]:
        """Return the debug stacks, by the tags of their resources.

        https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html

        Raises:
            CredentialsError: the caller may not ask, or AWS did not answer.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        client = self._client("resourcegroupstaggingapi")
        pages = client.get_paginator("get_resources").paginate(TagFilters=[{"Key": APP}])
        found: list[TaggedResource] = []
        try:
            for page in pages:
                for item in page["ResourceTagMappingList"]:
                    tags = {tag["Key"]: tag["Value"] for tag in item["Tags"]}
                    found.append(TaggedResource(item["ResourceARN"], tags))
        except (ClientError, BotoCoreError) as error:
            raise explained(error) from None
        return stacks_of(found)

    def functions(self) -> Functions:
        """Return all functions of the account and region.

        https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        code: dict[str, DeployedCode] = {}
        try:
            for page in self._lambda.get_paginator("list_functions").paginate():
                for function in page["Functions"]:
                    code[function["FunctionArn"]] = described_code(function)
        except (ClientError, BotoCoreError) as error:
            _log.debug("functions cannot be listed: %s", error)
            return Functions(refusal=str(error))
        return Functions(code)

    def looks(self, stacks: Sequence[TaggedStack]) -> tuple[StackLook, ...]:
        """Read the items of debug stacks, several at once."""
        if not stacks:
            return ()
        with ThreadPoolExecutor(CALLS_AT_ONCE, "stacks") as pool:
            found = pool.map(lambda stack: self.items(stack.table), stacks)
            return tuple(StackLook(*pair) for pair in zip(stacks, found, strict=True))

    def items(self, table: str, *, with_age: bool = True) -> StackItems:
        """Read the items of one debug stack.

        Args:
            table: the name of its table; "" where it is not known.
            with_age: whether to ask when the table was created.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        from terralive_stub.broker.aws import DynamoDBTable  # noqa: PLC0415  # imports boto3

        if not table:
            return StackItems()
        client = self._dynamodb
        rows = DynamoDBTable(client, table)
        try:
            item = client.get_item(TableName=table, Key=KEY, ConsistentRead=True).get("Item")
            description = None
            if item is not None:
                description = from_item(item)
            lease = rows.get_lease()
            records = tuple(rows.list_replaced())
        except ClientError as error:
            if error.response["Error"].get("Code") == _MISSING:
                return StackItems()
            return StackItems(exists=True, refusal=str(error))
        except BotoCoreError as error:
            return StackItems(exists=True, refusal=str(error))
        except (KeyError, ValueError, TypeError) as error:
            return StackItems(exists=True, refusal=_not_understood(error))
        created_ms = 0
        if with_age:
            created_ms = self._created_ms(table)
        return StackItems(True, description, lease, records, created_ms)  # exists

    def _created_ms(self, table: str) -> int:
        """Return when a table was created; 0 where the caller may not ask.

        https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        try:
            answer = self._dynamodb.describe_table(TableName=table)
        except (ClientError, BotoCoreError) as error:
            _log.debug("the age of %s is not known: %s", table, error)
            return 0
        return int(answer["Table"]["CreationDateTime"].timestamp() * _MILLISECONDS)

    def _client(self, service: str) -> Any:  # noqa: ANN401  # boto3's clients are made at run time
        return self._caller.session.client(
            service,  # type: ignore[call-overload]  # by name
            endpoint_url=self._caller.endpoint_url,
        )


def _not_understood(error: Exception) -> str:
    """Return why an item cannot be read that something else has written, or another version.

    One such table must not hide all other debug stacks of the account.
    """
    return (
        f"an item is not as this version of terralive writes it ({type(error).__name__}: {error})"
    )


def at_once(
    first: Callable[[], _Value], second: Callable[[], Functions]
) -> tuple[_Value, Functions]:
    """Run two questions to AWS at once; return both answers."""
    with ThreadPoolExecutor(2, "look") as pool:
        one, other = pool.submit(first), pool.submit(second)
        return one.result(), other.result()


def now_ms(caller: Caller, clock_s: float) -> int:
    """Return AWS's time in milliseconds since the Unix epoch.

    Args:
        caller: the caller, with the difference of the clocks.
        clock_s: this machine's time, in seconds since the Unix epoch.
    """
    return int((clock_s + caller.clock_offset_s) * _MILLISECONDS)

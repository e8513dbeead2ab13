"""Reads what stubs have replaced: the records of the stage's table, and the versions they name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from terralive_cli.deploy.aws import explained
from terralive_cli.deploy.stub_bucket import StubBucket
from terralive_cli.deploy.target import Stage
from terralive_cli.joining.demands import stack_settings
from terralive_cli.live.deployed_code import CALLS_AT_ONCE
from terralive_cli.restoring.by_api import (
    NotPutBackError,
    Upload,
    put_aliases_back,
    put_version_back,
    read_version,
)
from terralive_cli.restoring.exact import Original
from terralive_stub.errors import CredentialsError, TerraliveError
from terralive_stub.protocol.limits import FUNCTION_TIMEOUT_SECONDS
from terralive_stub.shared.arns import place_of

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

    from terralive_cli.deploy.accounts import Clients
    from terralive_stub.broker.fallbacks import Replaced
    from terralive_terraform.output.state import DeployedFunction

# Returns the records of a stage.
Records: TypeAlias = Callable[[], Iterable["Replaced"]]
_log: Final = logging.getLogger("terralive.cli")


@dataclass(frozen=True, slots=True)
class Originals:
    """Reads versions that stubs have replaced, and puts them back.

    Attributes:
        clients: clients in the accounts of the functions.
        records: returns the records of the stage.
        upload: takes zip files that are too large for a request.
    """

    clients: Clients
    records: Records
    upload: Upload

    @classmethod
    def of(cls, stage: Stage, clients: Clients) -> Self:
        """Return the originals of a stage."""
        return cls(clients, partial(_records, stage), partial(uploaded, stage))

    def read(
        self, functions: Mapping[str, DeployedFunction], timeouts: Mapping[str, int]
    ) -> tuple[dict[str, Original], dict[str, str]]:
        """Read what the stubs of functions have replaced.

        Args:
            functions: the functions as they are deployed, by address.
            timeouts: the timeouts in seconds that debugging raises their own to, by address.

        Returns:
            The originals of functions that have a record, by address, and the reasons why others
            that have one cannot be read.
        """
        records = {record.function: record for record in self.records()}
        found = {at: records[item.arn] for at, item in functions.items() if item.arn in records}
        if not found:
            return {}, {}
        with ThreadPoolExecutor(CALLS_AT_ONCE, "versions") as pool:
            answers = dict(zip(found, pool.map(self._read, found.values()), strict=True))
        originals: dict[str, Original] = {}
        reasons: dict[str, str] = {}
        for address, answer in answers.items():
            if isinstance(answer, str):
                reasons[address] = answer
                continue
            raised = {FUNCTION_TIMEOUT_SECONDS, timeouts.get(address, FUNCTION_TIMEOUT_SECONDS)}
            carried = functions[address].code_hash
            originals[address] = replace(answer, raised=frozenset(raised), carried=carried)
        return originals, reasons

    def put_back(self, originals: Mapping[str, Original]) -> dict[str, str]:
        """Put code, settings and aliases of functions back.

        Args:
            originals: what the stubs have replaced, by address.

        Returns:
            The reasons why functions are not put back, by address.
        """
        if not originals:
            return {}
        with ThreadPoolExecutor(CALLS_AT_ONCE, "put-back") as pool:
            reasons = dict(
                zip(originals, pool.map(self._put_back, originals.values()), strict=True)
            )
        return {address: reason for address, reason in reasons.items() if reason}

    def _read(self, record: Replaced) -> Original | str:
        """Return an original, or the reason why it cannot be read."""
        try:
            version = read_version(self._client(record.function), record.function, record.version)
        except (NotPutBackError, CredentialsError) as error:
            return f"its version {record.version} cannot be read: {error}"
        if version.sha256 != record.code_sha256:
            return f"its version {record.version} has other code than the stub has replaced"
        return Original(record, version, version.description)

    def _put_back(self, original: Original) -> str:
        """Put one function back; return the reason why it is not."""
        version = original.version
        try:
            client = self._client(version.function)
            put_version_back(client, version, original.settings, self.upload, original.carried)
            put_aliases_back(client, version.function, original.record.aliases)
        except (NotPutBackError, CredentialsError) as error:
            return str(error)
        _log.debug("%s is put back from version %s", version.function, version.version)
        return ""

    def _client(self, arn: str) -> LambdaClient:
        place = place_of(arn)
        client: LambdaClient = self.clients.client("lambda", place.account, place.region)
        return client


def _records(stage: Stage) -> list[Replaced]:
    """Return the records of a stage; [] where it has no debug stack.

    Raises:
        CredentialsError: the caller may not read them.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    table = stack_settings(stage).name("connections")
    try:
        return stage.target.caller.table(table).list_replaced()
    except ClientError as error:
        if error.response["Error"].get("Code") == "ResourceNotFoundException":
            return []
        raise explained(error) from None
    except BotoCoreError as error:
        raise explained(error) from None


def uploaded(stage: Stage, data: bytes) -> dict[str, str]:
    """Upload a zip file to the debug stack's bucket; return the arguments that name it.

    Raises:
        NotPutBackError: it cannot be uploaded.
    """
    bucket = stack_settings(stage).stub_bucket()
    try:
        key = StubBucket(stage.target.caller).upload_code(bucket, data)
    except TerraliveError as error:
        raise NotPutBackError(error.message) from None
    return {"S3Bucket": bucket, "S3Key": key}

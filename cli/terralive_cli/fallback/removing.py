"""Deletes the versions that terralive has published, when functions have their own code again.

A version that an alias names stays, and so does one of a function that may still carry a stub: the
stub invokes it, and a restore needs it. Failures are warnings, which name the version.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from terralive_cli.deploy.accounts import AllAccounts, Clients
from terralive_cli.deploy.aws import Caller
from terralive_cli.deploy.target import Stage
from terralive_cli.fallback import versions
from terralive_cli.fallback.published import Published, stage_of
from terralive_cli.fallback.publishing import refusal
from terralive_cli.joining.demands import table_name
from terralive_cli.live.deployed_code import CALLS_AT_ONCE, described_code
from terralive_cli.restoring.stub_code import Carried, carried
from terralive_relay.events import Warned
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.errors import CredentialsError
from terralive_stub.shared.arns import place_of
from terralive_terraform.substitution.marker import StageName

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

    from terralive_stub.broker.aws import DynamoDBTable

_log: Final = logging.getLogger("terralive.cli")


@dataclass(frozen=True, slots=True)
class _Cleaning:
    """What is to be removed of one function.

    Attributes:
        arn: its ARN.
        client: the client of Lambda for its account and region.
        stage: the stage.
        record: its record; None where there is none.
        is_own: whether it has its own code for certain.
    """

    arn: str
    client: LambdaClient
    stage: StageName
    record: Replaced | None
    is_own: bool

    def done(self) -> Sequence[str] | None:
        """Remove it; return what stays and why, or None where nothing was touched."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        try:
            known = versions.published(self.client, self.arn)
        except self.client.exceptions.ResourceNotFoundException:
            # Its versions have gone with it.
            return ()
        except (BotoCoreError, ClientError) as error:
            return (f"the versions of {self.arn} cannot be listed: {refusal(error)}",)
        if not self.is_own and not self._has_own_code(known):
            return None
        return tuple(self._removed(known))

    def _has_own_code(self, known: Published) -> bool:
        """Tell whether a function that no restore has looked at has its own code."""
        code = described_code(known.latest)
        if self.record is not None and code.sha256 == self.record.code_sha256:
            return carried(code) is not Carried.STUB
        return carried(code) is Carried.OWN

    def _removed(self, known: Published) -> Iterator[str]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        made = sorted({*known.made_for(self.stage), *_taken(self.record, known)})
        for number in made:
            try:
                alias = versions.delete(self.client, self.arn, number)
            except (BotoCoreError, ClientError) as error:
                yield f"version {number} of {self.arn}: {refusal(error)}"
                continue
            if alias:
                yield f"version {number} of {self.arn}: its alias {alias} names it"
            else:
                _log.debug("version %s of %s was deleted", number, self.arn)
        for number in sorted(_permitted(self.record) - set(made)):
            try:
                versions.disallow(self.client, self.arn, number, self.stage)
            except (BotoCoreError, ClientError) as error:
                yield f"a permission on version {number} of {self.arn}: {refusal(error)}"


class FallbackRemoval:
    """Removes what terralive has made for the fallback of a stage.

    Args:
        caller: the caller.
        stage: the app and the stage.
        clients: clients in the accounts of the functions.
        table: the name of the stage's table, which need not exist.
    """

    def __init__(self, caller: Caller, stage: StageName, clients: Clients, table: str) -> None:
        self._caller = caller
        self._stage = stage
        self._clients = clients
        self._table = table

    def remove(self, own: Collection[str], searched: Collection[str]) -> Sequence[Warned]:
        """Remove the versions of functions that have their own code, and their records.

        Args:
            own: the ARNs of functions that have their own code for certain.
            searched: the ARNs of those among them whose versions are looked for without a record.

        Returns:
            Warnings about what stays.
        """
        table = self._caller.table(self._table)
        records = _records_of(table)
        cleanings: dict[str, _Cleaning] = {}
        for arn in sorted({*records, *searched}):
            client = self._client(arn)
            if client is not None:
                is_own = arn in own
                cleanings[arn] = _Cleaning(arn, client, self._stage, records.get(arn), is_own)
        with ThreadPoolExecutor(CALLS_AT_ONCE, "versions") as pool:
            done = dict(zip(cleanings, pool.map(_Cleaning.done, cleanings.values()), strict=True))
        stays = [text for texts in done.values() for text in texts or ()]
        for arn in records:
            if done.get(arn) == ():
                stays += _forgotten(table, arn)
        if not stays:
            return ()
        return (
            Warned(
                "version-stays",
                f"This stays of the fallback of {self._stage}: {'; '.join(stays)}. The same "
                "command tries again. If it does not succeed, delete it by hand.",
            ),
        )

    def _client(self, arn: str) -> LambdaClient | None:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415  # heavy

        place = place_of(arn)
        try:
            client: LambdaClient = self._clients.client("lambda", place.account, place.region)
        except (BotoCoreError, CredentialsError) as error:
            _log.debug("the versions of %s stay: %s", arn, error)
            return None
        return client


def _records_of(table: DynamoDBTable) -> Mapping[str, Replaced]:
    """Return the records of a table by ARN; {} where it cannot be read."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    try:
        found = table.list_replaced()
    except (BotoCoreError, ClientError) as error:
        # There is no table, or the caller may not read it.
        _log.debug("the records of replaced code cannot be read: %s", type(error).__name__)
        return {}
    return {item.function: item for item in found}


def _forgotten(table: DynamoDBTable, arn: str) -> Sequence[str]:
    """Delete the record of a function; return why it stays."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    try:
        table.delete_replaced(arn)
    except (BotoCoreError, ClientError) as error:
        return (f"the record of {arn}: {refusal(error)}",)
    return ()


def remove_versions(
    stage: Stage,
    accounts: Sequence[Clients],
    own: Collection[str],
    searched: Collection[str],
) -> Sequence[Warned]:
    """Remove what terralive has made for the fallback of an app; see `FallbackRemoval.remove`.

    Args:
        stage: the stage.
        accounts: clients in the accounts of the functions, for each stack that is deployed;
            at least one.
        own: the ARNs of functions that have their own code for certain.
        searched: the ARNs of those among them whose versions are looked for without a record.
    """
    name = StageName(stage.config.app, stage.config.stage)
    clients = AllAccounts(tuple(accounts))
    removal = FallbackRemoval(stage.target.caller, name, clients, table_name(stage))
    return removal.remove(own, searched)


def _taken(record: Replaced | None, known: Published) -> tuple[str, ...]:
    """Return the version of another stage's that this one has taken over with a function."""
    if record is None or not record.made:
        return ()
    version = known.version(record.version)
    if version is None or stage_of(version) is None:
        return ()
    return (record.version,)


def _permitted(record: Replaced | None) -> set[str]:
    """Return the versions that a function's role was let invoke."""
    if record is None:
        return set()
    return {record.version, *record.aliases.values()}

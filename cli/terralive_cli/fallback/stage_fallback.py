"""The fallback of a stage's functions: what a plan says of it, and its versions before an apply.

Failures here never end a start. The stub of a function without a fallback fails by name where
nobody is connected.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from terralive_cli.code_changes.renewing import Renewal, Stubs
from terralive_cli.configuration.tables import FallbackChoice
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.aws import Caller
from terralive_cli.fallback import versions
from terralive_cli.fallback.candidates import Candidate, of_live
from terralive_cli.fallback.decision import (
    NOT_DEPLOYED,
    SWITCHED_OFF,
    Action,
    Decision,
    cannot_answer,
    decide,
)
from terralive_cli.fallback.published import Published
from terralive_cli.fallback.publishing import BOUNDARY, Publishing, refusal
from terralive_cli.fallback.roles import Boundaries
from terralive_cli.live.deployed_code import CALLS_AT_ONCE
from terralive_cli.output.events import Fallback
from terralive_cli.output.formats.words import listed
from terralive_cli.restoring.examination import Examination
from terralive_relay.events import Warned
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.errors import CredentialsError
from terralive_stub.shared.arns import place_of
from terralive_terraform.addresses import short_address
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.marker import StageName, is_stub
from terralive_terraform.substitution.marker import stage_of as holder_of

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

    from terralive_stub.broker.aws import DynamoDBTable

_log: Final = logging.getLogger("terralive.cli")
_NAMED_FUNCTIONS: Final = 10


@dataclass(frozen=True, slots=True)
class PlannedFallback:
    """The fallback of the functions of a live plan.

    Attributes:
        candidates: the functions.
        shown: what the plan says of each of them, by address.
    """

    candidates: tuple[Candidate, ...] = ()
    shown: Mapping[str, Fallback] = field(default_factory=dict)


class StageFallback:
    """The fallback of the functions of an app, or of one of its stacks.

    Args:
        caller: the caller.
        stage: the app and the stage.
        accounts: sessions in the accounts of the functions.
        table_of: returns the name of another stage's table, which need not exist; "" for none.
    """

    def __init__(
        self,
        caller: Caller,
        stage: StageName,
        accounts: Accounts,
        table_of: Callable[[StageName], str] = lambda _: "",
    ) -> None:
        self._caller = caller
        self._stage = stage
        self._accounts = accounts
        self._table_of = table_of
        self._boundaries = Boundaries(accounts, caller.endpoint_url)
        # Why there are no credentials for an account, by its id; "" where there are.
        self._closed: dict[str, str] = {}

    def planned(self, found: Sequence[Candidate], table: str) -> PlannedFallback:
        """Return what a plan says of the fallback of functions.

        Args:
            found: the functions of the plan.
            table: the name of the stage's table; "" where there is none yet.
        """
        deployed = [item for item in found if _is_wanted(item) and item.function is not None]
        self._read_boundaries(deployed)
        records = {**self._records(table, deployed), **self._held_records(deployed)}
        looks: dict[str, partial[Published] | None] = {}
        for item in deployed:
            if _arn(item) in records or _needs_look(item):
                looks[item.address] = self._look(item)
        with ThreadPoolExecutor(CALLS_AT_ONCE, "versions") as pool:
            looked = dict(zip(looks, pool.map(_result, looks.values()), strict=True))
        shown = {item.address: self._planned(item, records, looked) for item in found}
        return PlannedFallback(tuple(found), shown)

    def publish(
        self, found: Sequence[Candidate], examination: Examination, table: str
    ) -> Sequence[Warned]:
        """Publish the code of functions that stubs are about to replace, and record the versions.

        Functions that carry a stub keep their record, or get that of the stage that they are taken
        from.

        Args:
            found: the functions of the plan.
            examination: looks at functions.
            table: the name of the stage's table.

        Returns:
            Warnings about functions without a fallback, for a reason that no plan knows.
        """
        functions: dict[str, DeployedFunction] = {}
        for item in found:
            if _is_wanted(item) and item.function is not None:
                functions[item.address] = item.function
        if not functions:
            return ()
        examined = examination.examine(functions)
        free = examined.functions.keys() - examined.stubs - examined.unseen.keys()
        wanted = [item for item in found if item.address in free]
        self._read_boundaries(wanted)
        records = self._caller.table(table)
        works: dict[str, Publishing] = {}
        for item in wanted:
            arn = functions[item.address].arn
            if not self._closed_reason(arn):
                works[item.address] = self._work(item, arn, records)
        with ThreadPoolExecutor(CALLS_AT_ONCE, "versions") as pool:
            reasons = dict(zip(works, pool.map(Publishing.done, works.values()), strict=True))
        reasons.update(self._taken([item for item in found if _is_wanted(item)], records))
        reasons.update(examined.unseen)
        return tuple(_warnings(reasons))

    def renew(self, found: Sequence[Candidate], stubs: Stubs, table: str) -> Iterable[Warned]:
        """Publish the versions of live functions anew, whose settings have changed.

        Args:
            found: the functions.
            stubs: the stage's stub.
            table: the name of the stage's table.

        Returns:
            Warnings about versions that keep their settings.
        """
        records = self._caller.table(table)
        works: dict[str, Renewal] = {}
        for item in found:
            arn = _arn(item)
            if arn and not self._closed_reason(arn):
                works[item.address] = Renewal(
                    arn, item.declared, item.timeout, self._client(arn), self._stage, records, stubs
                )
        with ThreadPoolExecutor(CALLS_AT_ONCE, "versions") as pool:
            reasons = dict(zip(works, pool.map(Renewal.done, works.values()), strict=True))
        for address, reason in reasons.items():
            if reason:
                yield Warned(
                    "fallback-not-renewed",
                    f"The version of {short_address(address)} that answers where nobody is "
                    f"connected keeps its former settings: {reason.rstrip('.')}. `terralive "
                    "restore` and then `terralive start` publish another one.",
                    address,
                )

    def switch(self, found: Sequence[Candidate], table: str) -> None:
        """Switch the fallback of functions that carry a stub off or on, as the user wants it.

        Args:
            found: the functions of a plan.
            table: the name of the stage's table.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        records = self._records(table, found)
        for item in found:
            record = records.get(_arn(item))
            if record is None or not _carries_stub(item):
                continue
            changed = record
            if not _is_wanted(item) and record.can_answer:
                changed = replace(record, can_answer=False, reason=SWITCHED_OFF)
            elif _is_wanted(item) and record.reason == SWITCHED_OFF:
                # Its role has the permission since the version was recorded.
                changed = replace(record, can_answer=True, reason="")
            if changed == record:
                continue
            try:
                self._caller.table(table).put_replaced(changed)
            except (BotoCoreError, ClientError) as error:
                _log.debug("the record of %s cannot be changed: %s", record.function, error)

    def _work(self, item: Candidate, arn: str, table: DynamoDBTable) -> Publishing:
        return Publishing(
            item,
            arn,
            self._client(arn),
            self._stage,
            table,
            is_bounded=self._boundaries.refuses(item.declared.role, arn),
        )

    def _client(self, arn: str) -> LambdaClient:
        place = place_of(arn)
        client: LambdaClient = self._accounts.client("lambda", place.account, place.region)
        return client

    def _closed_reason(self, arn: str) -> str:
        """Return why there are no credentials for a function's account; "" where there are."""
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415  # heavy

        account = place_of(arn).account
        if account not in self._closed:
            reason = ""
            try:
                self._client(arn)
            except CredentialsError as error:
                reason = f"terralive has no credentials for account {account}"
                _log.debug("%s: %s", reason, error)
            except BotoCoreError as error:
                reason = f"account {account} cannot be entered: {error}"
            self._closed[account] = reason
        return self._closed[account]

    def _read_boundaries(self, found: Collection[Candidate]) -> None:
        self._boundaries.read([item.declared.role for item in found], self._caller.region)

    def _records(self, table: str, found: Sequence[Candidate]) -> Mapping[str, Replaced]:
        """Return the records by ARN; {} where no function carries a stub, as the state says."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        if not table or not any(_carries_stub(item) for item in found):
            return {}
        try:
            return {item.function: item for item in self._caller.table(table).list_replaced()}
        except (BotoCoreError, ClientError) as error:
            _log.debug("the records of replaced code cannot be read: %s", type(error).__name__)
            return {}

    def _held_records(self, found: Collection[Candidate]) -> Mapping[str, Replaced]:
        """Return what stubs of other stages have replaced, by ARN, as those stages' tables say."""
        held: dict[str, list[Candidate]] = {}
        for item in found:
            holder = None
            if item.function is not None:
                holder = holder_of(item.function.description)
            if holder is not None and holder != self._stage:
                held.setdefault(self._table_of(holder), []).append(item)
        records: dict[str, Replaced] = {}
        for table, items in held.items():
            known = self._records(table, items)
            for item in items:
                record = known.get(_arn(item))
                if record is not None:
                    records[record.function] = self._for_this_stage(item, record)
        return records

    def _for_this_stage(self, item: Candidate, record: Replaced) -> Replaced:
        """Return a record of another stage, with whether this stage's stub may use the version."""
        reason = cannot_answer(item.declared)
        if not reason and self._boundaries.refuses(item.declared.role, record.function):
            reason = BOUNDARY
        return replace(record, can_answer=not reason, reason=reason)

    def _taken(self, found: Collection[Candidate], table: DynamoDBTable) -> Mapping[str, str]:
        """Record what the stubs of other stages have replaced; return failures by address."""
        held = self._held_records(found)
        reasons: dict[str, str] = {}
        for item in found:
            arn = _arn(item)
            if arn in held and not self._closed_reason(arn):
                reasons[item.address] = self._work(item, arn, table).taken(held[arn])
        return reasons

    def _look(self, item: Candidate) -> partial[Published] | None:
        """Return the call that lists a function's versions; None where it is not possible."""
        arn = _arn(item)
        if self._closed_reason(arn):
            return None
        return partial(versions.published, self._client(arn), arn)

    def _planned(
        self,
        item: Candidate,
        records: Mapping[str, Replaced],
        looked: Mapping[str, Published | str],
    ) -> Fallback:
        """Return what a plan says of one function."""
        if not _is_wanted(item):
            return Fallback(reason=SWITCHED_OFF)
        if item.function is None and item.own_code_first:
            reason = cannot_answer(item.declared)
            return Fallback(reason=reason, own_code_first=item.own_code_first)
        if item.function is None:
            return Fallback(reason=NOT_DEPLOYED)
        arn = _arn(item)
        if _carries_stub(item):
            return of_live(item, records.get(arn), looked.get(item.address, ""))
        decision = Decision(Action.PUBLISH, reason=cannot_answer(item.declared))
        known = looked.get(item.address)
        if isinstance(known, str):
            decision = Decision(Action.NONE, reason=known)
        elif known is not None:
            decision = decide(item.choice, item.declared, known, self._stage)
        reason = self._closed_reason(arn) or decision.reason
        if not reason and self._boundaries.refuses(item.declared.role, arn):
            reason = BOUNDARY
        return Fallback(decision.version or None, reason)


def _is_wanted(item: Candidate) -> bool:
    return item.choice is not FallbackChoice.NEVER


def _arn(item: Candidate) -> str:
    return item.function.arn if item.function is not None else ""


def _carries_stub(item: Candidate) -> bool:
    """Tell whether a function carries a stub, as far as Terraform's state tells."""
    function = item.function
    return function is not None and is_stub(function.handler, function.description)


def _needs_look(item: Candidate) -> bool:
    return item.declared.needs_own_version and not _carries_stub(item)


def _result(look: partial[Published] | None) -> Published | str:
    """Return a function's versions, or the reason why they are not known."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    if look is None:
        return ""
    try:
        return look()
    except (BotoCoreError, ClientError) as error:
        return refusal(error)


def _warnings(reasons: Mapping[str, str]) -> Iterable[Warned]:
    """Yield one warning for each reason."""
    by_reason: dict[str, list[str]] = {}
    for address, reason in reasons.items():
        if reason:
            by_reason.setdefault(reason, []).append(short_address(address))
    for reason, names in by_reason.items():
        yield Warned(
            "no-fallback",
            f"Where nobody is connected, invocations fail of {listed(names, _NAMED_FUNCTIONS)}: "
            f"{reason}. See docs/PERMISSIONS.md; `fallback = false` does without a fallback.",
        )

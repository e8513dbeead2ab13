"""Changes the code of functions by Lambda's API, as the user has agreed to.

Code that is replaced is never lost without the user's word: it is published as a version first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from terralive_cli.code_changes.changes import CodeChange, Keep
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.fallback import versions
from terralive_cli.fallback.published import own_description
from terralive_cli.restoring.by_api import (
    NotPutBackError,
    changes_of_settings,
    read_version,
    refusals,
    update_code,
    update_settings,
)
from terralive_relay.events import Warned
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.shared.arns import place_of
from terralive_stub.shared.json_documents import text
from terralive_terraform.addresses import short_address
from terralive_terraform.artifacts import Artifact
from terralive_terraform.substitution.marker import StageName

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

_log: Final = logging.getLogger("terralive.cli")


class ReplacedCode(Protocol):
    """The records of what stubs have replaced, in the stage's table."""

    def get_replaced(self, function: str) -> Replaced | None:
        """Return the record of a function, by its ARN; None for none."""

    def put_replaced(self, replaced: Replaced) -> None:
        """Write the record of a function."""


@dataclass(frozen=True, slots=True)
class CodeChanger:
    """Puts the stub in the place of other code.

    Attributes:
        accounts: sessions in the accounts of the functions.
        records: the records of what stubs have replaced.
        stub: the stub's zip.
        stage: the app and the stage.
    """

    accounts: Accounts
    records: ReplacedCode
    stub: Artifact
    stage: StageName

    def make(self, changes: Sequence[CodeChange]) -> Iterator[Warned]:
        """Make changes, and yield a warning for each that cannot be made."""
        for change in changes:
            try:
                self._change(change)
            except NotPutBackError as error:
                yield not_changed(change, str(error))

    def _change(self, change: CodeChange) -> None:
        """Put the stub in the place of one function's code.

        Raises:
            NotPutBackError: AWS refuses it, or the function has other code than the user was told.
        """
        place = place_of(change.arn)
        client: LambdaClient = self.accounts.client("lambda", place.account, place.region)
        now = read_version(client, change.arn)
        if now.sha256 == self.stub.sha256_base64:
            return
        if now.sha256 != change.sha256:
            message = "its code has changed again since it was looked at; run the command again"
            raise NotPutBackError(message)
        if change.keep is Keep.VERSION:
            self._keep(client, change)
        update_code(client, change.arn, {"ZipFile": self.stub.path.read_bytes()})
        _log.debug("%s has the stub's code again", change.address)

    def _keep(self, client: LambdaClient, change: CodeChange) -> None:
        """Publish the code that a function has, with the function's own settings.

        The version that the stub has replaced has these settings. The stub's follow at once.

        Raises:
            NotPutBackError: AWS refuses it.
        """
        with refusals():
            known = self.records.get_replaced(change.arn)
        if known is None:
            message = "the record of the version that has its own settings is gone"
            raise NotPutBackError(message)
        of_stub = read_version(client, change.arn).settings
        own = read_version(client, change.arn, known.version).settings
        # A description that is too long for the version is not known.
        own = replace(own, description=own_description(own.description) or "")
        update_settings(client, change.arn, changes_of_settings(of_stub, own))
        try:
            with refusals():
                self._publish(client, known, change.sha256)
        finally:
            update_settings(client, change.arn, changes_of_settings(own, of_stub))

    def _publish(self, client: LambdaClient, known: Replaced, sha256: str) -> None:
        """Publish a function's code, as the version that a stub may invoke from now on."""
        arn = known.function
        latest = versions.published(client, arn).latest
        if text(latest, "CodeSha256") != sha256:
            message = "its code has changed while it was being published; run the command again"
            raise NotPutBackError(message)
        version = versions.publish(client, arn, latest, self.stage)
        if known.can_answer:
            versions.allow(client, arn, version, text(latest, "Role"), self.stage)
        self.records.put_replaced(replace(known, version=version, code_sha256=sha256, made=True))
        if known.made:
            versions.delete(client, arn, known.version)


def not_changed(change: CodeChange, reason: str) -> Warned:
    """Return the warning about a function whose code stays."""
    return Warned(
        "stub-not-put-back",
        f"{short_address(change.address)} keeps the code that was deployed over its stub: "
        f"{reason.rstrip('.')}. Its invocations do not run here. `terralive restore` and then "
        "`terralive start` put the stub in its place.",
        change.address,
    )

"""Checks that functions have their own code after a restore, and puts it back where they do not."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.deploy.accounts import Accounts
from terralive_cli.output.progress import Phase
from terralive_cli.restoring.by_api import NotPutBackError
from terralive_cli.restoring.exact import Original
from terralive_cli.restoring.examination import Examination, Examined
from terralive_cli.restoring.healing import described, put_back
from terralive_cli.restoring.originals import Originals
from terralive_relay.events import Warned
from terralive_stub.errors import TerraliveError
from terralive_stub.shared.arns import place_of
from terralive_terraform.addresses import short_address
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.marker import is_stub

_log: Final = logging.getLogger("terralive.cli")


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a restore.

    Attributes:
        published: the addresses of functions of which terralive has published a version.
        unseen: the addresses of functions that could not be looked at.
    """

    published: frozenset[str] = frozenset()
    unseen: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Restorer:
    """Looks at the functions of an app, and puts their own code back.

    Attributes:
        accounts: sessions in the accounts of the functions.
        examination: looks at functions.
        originals: reads what stubs have replaced, and puts it back.
        directory: the folder that Terraform runs in.
        phase: reports the progress.
    """

    accounts: Accounts
    examination: Examination
    originals: Originals
    directory: Path
    phase: Phase

    def examine(self, functions: Mapping[str, DeployedFunction]) -> Examined:
        """Look at functions of a state, by address; warn of those that cannot be looked at."""
        with self.phase.step("look"):
            examined = self.examination.examine(functions)
        if examined.unseen:
            self.phase.emit(*_unseen_warnings(examined.unseen))
        return examined

    def originals_of(
        self, functions: Mapping[str, DeployedFunction], timeouts: Mapping[str, int]
    ) -> Mapping[str, Original]:
        """Read what the stubs of functions have replaced; warn of what cannot be read.

        Args:
            functions: the functions as they are deployed, by address.
            timeouts: the timeouts in seconds that debugging raises their own to, by address.
        """
        with self.phase.step("look"):
            originals, reasons = self.originals.read(functions, timeouts)
        if reasons:
            self.phase.emit(*_unread_warnings(reasons))
        return originals

    def put_back(self, originals: Mapping[str, Original]) -> Mapping[str, str]:
        """Put back what stubs have replaced, by Lambda's API.

        Returns:
            The reasons why functions are not put back, by address.
        """
        if not originals:
            return {}
        with self.phase.step("code"):
            return self.originals.put_back(originals)

    def finish(
        self,
        functions: Mapping[str, DeployedFunction],
        by_api: Collection[str] = (),
        reasons: Mapping[str, str] | None = None,
    ) -> Finished:
        """Put functions' own code back where an apply has left a stub's, and look at them again.

        Args:
            functions: the functions that carried a stub, by address, as the state names them after
                the apply.
            by_api: the addresses of those that `put_back` was for.
            reasons: the reasons why it has not put functions back.

        Raises:
            TerraliveError: `restore-incomplete`.
        """
        if not functions:
            return Finished()
        examined = self.examine(functions)
        if not examined.stubs:
            return Finished(unseen=frozenset(examined.unseen))
        reasons = {at: reason for at, reason in (reasons or {}).items() if at in examined.stubs}
        with self.phase.step("code"):
            for address in sorted(examined.stubs.difference(by_api)):
                reason = self._put_back(address, functions[address], examined.functions[address])
                if reason:
                    reasons[address] = reason
        again = self.examine({address: functions[address] for address in examined.stubs})
        for address in again.stubs - reasons.keys():
            reasons[address] = "Lambda has accepted the code, but it is still a stub's"
        if reasons:
            raise _incomplete(reasons)
        healed = examined.stubs.difference(by_api)
        published = {address for address in healed if functions[address].package.publish}
        return Finished(frozenset(published), frozenset(examined.unseen) | frozenset(again.unseen))

    def _put_back(self, address: str, known: DeployedFunction, deployed: DeployedFunction) -> str:
        """Put one function's code back; return the reason why it is not."""
        if is_stub(deployed.handler, deployed.description):
            return "its handler is still the stub's"
        place = place_of(known.arn)
        name = described(known.package)
        self.phase.note(
            f"{short_address(address)} still has the stub's code, and Terraform sees no change; "
            f"terralive uploads {name}"
        )
        try:
            client = self.accounts.client("lambda", place.account, place.region)
            put_back(client, known.arn, known.package, self.directory)
        except NotPutBackError as error:
            return str(error)
        _log.debug("the code of %s was put back from %s", address, name)
        return ""


def _unseen_warnings(unseen: Mapping[str, str]) -> Iterable[Warned]:
    """Yield one warning for each reason: it usually holds for a whole account."""
    by_reason: dict[str, list[str]] = {}
    for address, reason in unseen.items():
        by_reason.setdefault(reason, []).append(short_address(address))
    for reason, names in by_reason.items():
        yield Warned(
            "restore-unseen",
            f"terralive cannot tell whether these functions run their own code: "
            f"{', '.join(names)}. {reason.rstrip('.')}.",
        )


def _unread_warnings(reasons: Mapping[str, str]) -> Iterable[Warned]:
    for address, reason in reasons.items():
        yield Warned(
            "restore-unrecorded",
            f"What the stub has replaced cannot be put back exactly: {reason}.",
            function=address,
        )


def _incomplete(reasons: Mapping[str, str]) -> TerraliveError:
    lines = "".join(f"\n  {short_address(at)}: {reason}" for at, reason in reasons.items())
    return TerraliveError(
        "restore-incomplete",
        f"These functions are not restored:{lines}",
        hint="Invocations of functions with a stub's code fail. Correct what is named above, and "
        "run the same command again.",
    )

"""Checks that functions have their own code after a restore, and puts it back where they do not."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.deploy.accounts import Accounts
from terralive_cli.output.formats.words import short_address
from terralive_cli.output.progress import Phase
from terralive_cli.restoring.by_api import NotPutBackError
from terralive_cli.restoring.examination import Examination, Examined
from terralive_cli.restoring.healing import described, put_back
from terralive_relay.events import Warned
from terralive_stub.errors import TerraliveError
from terralive_stub.shared.arns import place_of
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
        directory: the folder that Terraform runs in.
        phase: reports the progress.
    """

    accounts: Accounts
    examination: Examination
    directory: Path
    phase: Phase

    def examine(self, functions: Mapping[str, DeployedFunction]) -> Examined:
        """Look at functions of a state, by address; warn of those that cannot be looked at."""
        with self.phase.step("look"):
            examined = self.examination.examine(functions)
        if examined.unseen:
            self.phase.emit(*_unseen_warnings(examined.unseen))
        return examined

    def finish(self, functions: Mapping[str, DeployedFunction]) -> Finished:
        """Put functions' own code back where an apply has left a stub's, and look at them again.

        Args:
            functions: the functions that carried a stub, by address, as the state names them after
                the apply.

        Raises:
            TerraliveError: `restore-incomplete`.
        """
        if not functions:
            return Finished()
        examined = self.examine(functions)
        if not examined.stubs:
            return Finished(unseen=frozenset(examined.unseen))
        reasons: dict[str, str] = {}
        with self.phase.step("code"):
            for address in sorted(examined.stubs):
                reason = self._put_back(address, functions[address], examined.functions[address])
                if reason:
                    reasons[address] = reason
        again = self.examine({address: functions[address] for address in examined.stubs})
        for address in again.stubs - reasons.keys():
            reasons[address] = "Lambda has accepted the code, but it is still a stub's"
        if reasons:
            raise _incomplete(reasons)
        published = {address for address in examined.stubs if functions[address].package.publish}
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


def _incomplete(reasons: Mapping[str, str]) -> TerraliveError:
    lines = "".join(f"\n  {short_address(at)}: {reason}" for at, reason in reasons.items())
    return TerraliveError(
        "restore-incomplete",
        f"These functions are not restored:{lines}",
        hint="Invocations of functions with a stub's code fail. Correct what is named above, and "
        "run the same command again.",
    )

"""Removes one debug stack that was found by its tags, after its functions were restored."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from terralive_cli.deploy import plans, record
from terralive_cli.deploy.debug_stack import DebugStack
from terralive_cli.deploy.target import Stage
from terralive_cli.fallback.removing import FallbackRemoval
from terralive_cli.stages.cleanup.restorable import Restorable, StackFunctions
from terralive_cli.stages.events import CleanupResult
from terralive_cli.stages.looks import StackLook, label
from terralive_cli.stages.reading import AccountReader
from terralive_stub.errors import TerraliveError

_log: Final = logging.getLogger("terralive.cli")
_USED: Final = "somebody has used it since the plan was made; run the same command again"


@dataclass(frozen=True, slots=True)
class Removal:
    """One debug stack that is to be removed.

    Attributes:
        stage: the stage, with the configuration of the debug stack.
        look: the debug stack, as the user has agreed to its removal.
        functions: looks at its functions.
        restorable: what goes back.
        is_own: whether it belongs to this checkout's app, whose folder has files about it.
    """

    stage: Stage
    look: StackLook
    functions: StackFunctions
    restorable: Restorable
    is_own: bool

    def run(self, reader: AccountReader) -> CleanupResult:
        """Put back what is live, remove versions of it, and destroy the debug stack.

        Nothing is changed where somebody has used the stage meanwhile. Where a function is not put
        back, its version and the debug stack stay.

        Args:
            reader: reads the stage's table once more.
        """
        now = reader.items(self.look.stack.table)
        if now != self.look.items:
            return self._stays(_USED)
        restored: tuple[str, ...] = ()
        try:
            left = self.functions.put_back(now, self.restorable)
            if left:
                return self._stays("; ".join(left))
            restored = tuple(label(arn) for arn in self.restorable.originals)
            self._remove_versions()
            if reader.items(self.look.stack.table).lease != now.lease:
                return self._stays(_USED, restored)
            DebugStack.opened(self.stage, joins=False).destroy()
        except TerraliveError as error:
            return self._stays(error.message, restored)
        if self.is_own:
            plans.forget_plans(self.stage)
            record.forget(self.stage.target.work)
        name = self.look.stack.stage
        return CleanupResult(name.app, name.stage, removed=True, restored=restored)

    def _remove_versions(self) -> None:
        own = self.restorable.own | self.restorable.originals.keys()
        name, table = self.look.stack.stage, self.look.stack.table
        caller, accounts = self.stage.target.caller, self.functions.accounts
        self.stage.emit(*FallbackRemoval(caller, name, accounts, table).remove(own, own))

    def _stays(self, reason: str, restored: tuple[str, ...] = ()) -> CleanupResult:
        name = self.look.stack.stage
        _log.debug("the debug stack of %s stays: %s", name, reason)
        return CleanupResult(name.app, name.stage, removed=False, restored=restored, reason=reason)

"""The end of `terralive start`: asks whether the functions are restored, and restores them."""

from __future__ import annotations

import logging
import signal
import threading
from enum import Enum, auto
from typing import Final

from terralive_cli.app.live_plan import RestoreWish
from terralive_cli.configuration.values import Output
from terralive_cli.live.leaving import (
    Kept,
    Leave,
    all_replaced_message,
    answered,
    decide,
    explanation,
    last_message,
    question,
)
from terralive_cli.live.served_app import ServedApp
from terralive_cli.output.events import Message, Stopped
from terralive_cli.output.interrupts import ended_after, options_of
from terralive_cli.output.ui import Ui
from terralive_cli.sessions.own import OwnSession
from terralive_cli.unchanged.again import Start

_log: Final = logging.getLogger("terralive.cli")
# A network that is gone must not hold the question up.
_READ_SECONDS: Final = 2.0
# After `kill`, nobody may be there to press Ctrl-C. Runners of CI kill long before this.
_RESTORE_SECONDS: Final = 300.0


class _Left(Enum):
    """What was done about the stubs at the end of a start."""

    KEPT = auto()
    RESTORING = auto()
    RESTORED = auto()


class Leaving:
    """The end of a start. One thread uses it.

    Args:
        start: the start.
        ui: shows events and asks the question.
        served: the app that is served.
        session: the session, which `terralive stop` may have ended.
    """

    def __init__(self, start: Start, ui: Ui, served: ServedApp, session: OwnSession) -> None:
        self._start = start
        self._session = session
        self._ui = ui
        self._served = served
        # For how many functions the deployed code answers; 0 before that is known.
        self._answered = 0
        # What was done about the stubs.
        self._left = _Left.KEPT
        # Whether another user holds the stage, and the functions are theirs now.
        self.is_held = False

    def leave(self, number: signal.Signals) -> None:
        """Restore the functions, if the user wants that.

        Args:
            number: the signal that has ended the start.

        Raises:
            TerraliveError: they could not be restored.
            KeyboardInterrupt: the user did not want to wait.
        """
        stage = self._start.stage
        if stage.target.own_sandbox or not self._arns:
            return
        self._answered = self._number_answered()
        can_ask = self._ui.interactive and stage.config.output is not Output.JSON
        on_exit = stage.config.on_exit
        if self._session.asked_on_exit is not None:
            # `terralive stop` has asked its own user.
            on_exit = self._session.asked_on_exit
        wanted = decide(on_exit, number, can_ask=can_ask)
        if wanted is Leave.ASK:
            self._ui.emit(Message(message=explanation(self._kept)))
        while wanted is Leave.ASK:
            wanted = answered(self._ui.typed(question(self._kept)))
        if wanted is Leave.KEEP:
            return
        if number == signal.SIGINT:
            self._restore()
        else:
            with ended_after(_RESTORE_SECONDS):
                self._restore()

    @property
    def _arns(self) -> frozenset[str]:
        """The ARNs of the functions that are served."""
        live = self._served.live
        if live is None:
            return frozenset()
        return frozenset(function.arn for function in live.functions)

    @property
    def _kept(self) -> Kept:
        """The functions that keep their stub."""
        return Kept(len(self._arns), self._answered)

    @property
    def _all_replaced(self) -> bool:
        """Whether other code has replaced all stubs, for example by `terralive restore`.

        It decides what is said, and not what is restored: a stub may be there again since the watch
        has looked.
        """
        return bool(self._arns) and self._arns <= self._served.without_stub

    def ended(self) -> Stopped:
        """Return the event that says what stays, and what to type next."""
        config = self._start.stage.config
        is_live = (
            self._left is not _Left.RESTORED
            and not self._start.stage.target.own_sandbox
            and not self._all_replaced
        )
        return Stopped(stage=config.stage, live=is_live, message=self._text())

    def _text(self) -> str:
        stage = self._start.stage
        name = stage.config.stage
        if stage.target.own_sandbox:
            return "The sandbox has stopped, and everything in it is deleted."
        if self.is_held:
            return f"Stage {name} is still live: another `terralive start` holds it."
        options = options_of(stage.config)
        if self._left is _Left.RESTORED:
            return f"Stage {name} is not live any more. `terralive start {options}` starts again."
        is_partial = self._left is _Left.RESTORING
        if self._all_replaced and not is_partial:
            return all_replaced_message(name, options)
        kept = Kept(len(self._arns - self._served.without_stub), self._answered)
        return last_message(name, options, kept, is_partial=is_partial)

    def _restore(self) -> None:
        # A start that changes nothing does not wait for these.
        from terralive_cli.commands.live.restore import restore_stage  # noqa: PLC0415  # heavy
        from terralive_cli.deploy.approval import Declined  # noqa: PLC0415  # heavy

        self._left = _Left.RESTORING
        wish = RestoreWish(is_leaving=True)
        try:
            restore_stage(self._start.stage, self._ui, takeover=self._start.takeover, wish=wish)
        except Declined as declined:
            self._left = _Left.KEPT
            self._ui.emit(Message(message=str(declined)))
            return
        self._left = _Left.RESTORED

    def _number_answered(self) -> int:
        """Return for how many functions the deployed code answers; 0 where that is not known."""
        outputs = self._served.outputs
        if outputs is None:
            return 0
        found: list[str] = []

        def read() -> None:
            from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

            try:
                table = self._start.stage.target.caller.table(outputs.table_name)
                records = table.list_replaced()
            except (BotoCoreError, ClientError) as error:
                _log.debug("the records cannot be read: %s", type(error).__name__)
                return
            found.extend(item.function for item in records if item.can_answer)

        reader = threading.Thread(target=read, name="records", daemon=True)
        reader.start()
        reader.join(_READ_SECONDS)
        return len(self._arns.intersection(found))

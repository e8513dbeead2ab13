"""Puts the parts together that notice and apply saved changes in the session of a `start`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from terralive_cli.changes.saved_changes import KEY, Files, SavedChanges
from terralive_cli.live.served_app import ServedApp
from terralive_cli.live.stage_relay import StageRelay
from terralive_cli.output.interrupts import options_of
from terralive_cli.output.ui import Ui
from terralive_cli.unchanged.again import Start


def saved_changes(
    start: Start, ui: Ui, relay: StageRelay, served: ServedApp, began_ns: int
) -> SavedChanges:
    """Return the saved changes of a session.

    Args:
        start: the start that it began with.
        ui: shows events and asks questions.
        relay: the stage's relay, which serves.
        served: the app that is served.
        began_ns: the time at which the start began, in nanoseconds since the Unix epoch.
    """
    stage = start.stage

    # An unchanged start does not wait for the imports of these.
    def find() -> Files:
        from terralive_cli.changes.watched import watched_files  # noqa: PLC0415  # heavy

        code: set[Path] = set()
        if served.live is not None:
            code.update(served.live.code_folders)
        return watched_files(stage, code)

    def apply() -> bool:
        from terralive_cli.changes import applying  # noqa: PLC0415  # heavy

        make_live = partial(applying.made_live_again, start, ui, relay)
        return applying.apply_while_served(ui, relay, served, make_live)

    key = ""
    if ui.takes_keys:
        key = KEY
    return SavedChanges(
        stage.config.project,
        find,
        apply,
        ui.emit,
        key=key,
        again=f"terralive start {options_of(stage.config)}",
        began_ns=began_ns,
    )

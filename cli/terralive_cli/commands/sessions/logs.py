"""`terralive logs`: everything that the session of this project and stage has shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from terralive_cli.configuration.values import Config, Output
from terralive_cli.output import failures
from terralive_cli.output.ui import Ui
from terralive_cli.sessions import folders
from terralive_cli.sessions.events import SessionReported, SessionState
from terralive_cli.sessions.folders import Found
from terralive_cli.sessions.journals import kept_lines
from terralive_cli.sessions.journals.reading import events_of
from terralive_cli.sessions.journals.selection import KnownFunctions, Selection, request_id_of
from terralive_cli.sessions.journals.showing import Shown
from terralive_cli.sessions.texts import no_such_function, no_such_invocation, none_has_run
from terralive_terraform.addresses import matches

# The folder of `terralive_cli.output.logfiles`
_LOGS: Final = ".terralive/logs"


def run(config: Config, ui: Ui, *, wanted: str | None = None, follow: bool = False) -> int:
    """Show the newest session, or what is kept of one function or one invocation.

    Args:
        config: the configuration.
        ui: shows events.
        wanted: a function's name, address or pattern, or a request id or its beginning.
        follow: also show what comes, until the session ends.

    Raises:
        ConfigurationError: `no-such-function`, `no-such-invocation`.
    """
    found = folders.sessions(config.project, config.stage, is_sandbox=config.sandbox)
    shown = Shown(ui, is_text=config.output is not Output.JSON)
    try:
        if wanted is not None:
            _show_wanted(config, shown, found, wanted, follow=follow)
        elif found:
            shown.session(found[0], Selection(), follow=follow)
        else:
            others = folders.sessions(config.project, config.stage, is_sandbox=not config.sandbox)
            message = none_has_run(config, is_elsewhere=bool(others))
            ui.emit(SessionReported(config.stage, SessionState.NONE, message))
    except KeyboardInterrupt:
        # The usual end of `--follow`.
        return failures.INTERRUPTED
    return 0


def _show_wanted(
    config: Config, shown: Shown, found: Sequence[Found], wanted: str, *, follow: bool
) -> None:
    """Show a function or an invocation.

    Raises:
        ConfigurationError: nothing is kept of it.
    """
    logs = config.project / _LOGS
    known = KnownFunctions()
    if found:
        known.add(events_of(found[0].folder))
        functions = known.named(wanted)
        if functions:
            shown.session(found[0], Selection(functions=functions), follow=follow)
            return
    kept = kept_lines.functions(logs)
    for name in kept:
        if matches(wanted, name):
            shown.events(kept_lines.of_function(logs, name))
            return
    request_id = request_id_of(wanted)
    if not request_id:
        raise no_such_function(wanted, sorted({*known.names, *kept}))
    selection = Selection(request_id=request_id)
    for item in found:
        if any(selection.shows(event) for event in events_of(item.folder)):
            shown.session(item, selection, follow=follow)
            return
    lines = list(kept_lines.of_invocation(logs, request_id))
    if not lines:
        raise no_such_invocation(wanted)
    shown.events(lines)

"""Completion in a shell: functions, stages, events and request ids, from local files only.

A shell runs the command at every press of the Tab key, so nothing here asks AWS or imports an SDK.
https://click.palletsprojects.com/en/stable/shell-completion/#custom-type-completion
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from terralive_cli.configuration.loading import find_project
from terralive_cli.invoking.event.templates import TEMPLATES
from terralive_cli.live.session_files import work_folders
from terralive_stub.shared.json_documents import as_object, items, read_object, text

_SESSION: Final = "session.json"
_LOGS: Final = Path(".terralive") / "logs"
_EVENTS: Final = "events"
# More would fill the screen.
_MOST_IDS: Final = 50


def complete_function(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete a function that the last session here knew, by its name."""
    found: dict[str, str] = {}
    for work in work_folders(_project(context), _stage(context) or "*"):
        for item in items(read_object(work / _SESSION), "functions"):
            function = as_object(item)
            found[text(function, "name")] = text(function, "address")
    found.pop("", None)
    return _items(found, incomplete)


def complete_function_or_id(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete a function, or the request id of an invocation whose log is here."""
    files = (_project(context) / _LOGS).glob("*/*.log")
    return [
        *complete_function(context, parameter, incomplete),
        *_items(_ids(files), incomplete),
    ]


def complete_stage(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete a stage that commands on this machine have worked on."""
    names = {folder.name: "" for folder in work_folders(_project(context)) if folder.is_dir()}
    return _items(names, incomplete)


def complete_event(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete an example of a service, an event that is kept, or a file."""
    found = {f"@{name}": meaning for name, meaning in TEMPLATES.items()}
    found["@last"] = "the function's last event in a session here"
    for work in work_folders(_project(context), _stage(context) or "*"):
        found.update(_ids((work / _EVENTS).glob("*/*.json")))
    suggested = _items(found, incomplete)
    if not suggested or not incomplete:
        suggested.append(CompletionItem(incomplete, type="file"))
    return suggested


def _items(found: Mapping[str, str], incomplete: str) -> list[CompletionItem]:
    """Return what begins with a text; where nothing does, what contains it."""
    begin = {name: meaning for name, meaning in found.items() if name.startswith(incomplete)}
    if not begin:
        begin = {name: meaning for name, meaning in found.items() if incomplete in name}
    return [CompletionItem(name, help=meaning) for name, meaning in begin.items()]


def _ids(files: Iterable[Path]) -> dict[str, str]:
    """Return the newest request ids that files are named after, each with its function."""
    newest = sorted(files, key=_changed, reverse=True)[:_MOST_IDS]
    return {file.stem: file.parent.name for file in newest}


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _project(context: click.Context) -> Path:
    named = _typed(context, "project") or os.environ.get("TERRALIVE_PROJECT")
    if named:
        return Path(named)
    return find_project(Path.cwd())


def _stage(context: click.Context) -> str:
    return _typed(context, "stage") or os.environ.get("TERRALIVE_STAGE", "")


def _typed(context: click.Context, name: str) -> str:
    """Return an option that was typed before, with the command or before its name."""
    at: click.Context | None = context
    while at is not None:
        value = at.params.get(name)
        if isinstance(value, str):
            return value
        at = at.parent
    return ""

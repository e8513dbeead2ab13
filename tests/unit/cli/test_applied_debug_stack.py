"""A debug stack that is as the last plan has left it is not planned again; any other one is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from terralive_cli.joining.applied import Applied, is_as_applied, write_mark
from terralive_cli.joining.description import StackDescription

APPLIED = Applied(
    configuration="abc",
    description=StackDescription(
        app="orders",
        stage="dev-ana",
        source="github.com/acme/orders",
        owner="ana",
        created="2026-11-30",
        version="0.1.0",
        protocol=2,
        wishes={"log_retention_days": 7},
        outputs={"relay_url": "wss://relay"},
    ),
    state="4c1f 12",
)


def test_what_was_applied_is_known_again_and_nothing_is_before(tmp_path: Path) -> None:
    file = tmp_path / "mark"
    assert not is_as_applied(file, APPLIED)
    write_mark(file, APPLIED)
    assert is_as_applied(file, APPLIED)


@pytest.mark.parametrize(
    "changed",
    [
        replace(APPLIED, configuration="abd"),
        replace(APPLIED, state="4c1f 13"),
        replace(APPLIED, description=replace(APPLIED.description, version="0.2.0")),
        replace(APPLIED, description=replace(APPLIED.description, wishes={})),
        replace(APPLIED, description=replace(APPLIED.description, outputs={"relay_url": "x"})),
    ],
)
def test_another_configuration_description_or_state_is_planned(
    tmp_path: Path, changed: Applied
) -> None:
    write_mark(tmp_path / "mark", APPLIED)
    assert not is_as_applied(tmp_path / "mark", changed)


def test_where_the_mark_cannot_be_written_the_next_start_plans(tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    file = tmp_path / "a-file" / "mark"
    write_mark(file, APPLIED)
    assert not is_as_applied(file, APPLIED)

"""Facts about a stage that this machine remembers."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_cli.deploy import record
from terralive_cli.deploy.record import StageRecord


def test_a_record_survives_and_keeps_its_first_day(tmp_path: Path) -> None:
    work = tmp_path / "stage"
    record.save(work, record.load(work, today="2026-01-02"))
    assert record.load(work, today="2026-03-04") == StageRecord("2026-01-02")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"created": 1}'])
def test_an_unreadable_record_is_a_new_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "stage.json").write_text(content)
    assert record.load(tmp_path, today="2026-01-02") == StageRecord("2026-01-02")


def test_a_forgotten_stage_leaves_nothing(tmp_path: Path) -> None:
    record.save(tmp_path, StageRecord("2026-01-02"))
    record.journal(tmp_path).write_text("")
    record.forget(tmp_path)
    record.forget(tmp_path)
    assert list(tmp_path.iterdir()) == []

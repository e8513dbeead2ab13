"""What this machine remembers of a stage."""

from __future__ import annotations

from pathlib import Path

from terralive_cli.deploy import record


def test_a_forgotten_stage_leaves_nothing(tmp_path: Path) -> None:
    record.journal(tmp_path).write_text("")
    record.forget(tmp_path)
    record.forget(tmp_path)
    assert list(tmp_path.iterdir()) == []

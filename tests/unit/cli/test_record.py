"""The files in which this machine remembers a stage."""

from __future__ import annotations

import os
from pathlib import Path

from terralive_cli.deploy import record


def test_a_forgotten_stage_leaves_nothing(tmp_path: Path) -> None:
    record.journal(tmp_path).write_text("")
    record.session(tmp_path).write_text("")
    record.forget(tmp_path)
    record.forget(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_deployment_that_was_begun_is_unfinished_until_it_ends(tmp_path: Path) -> None:
    assert not record.is_unfinished(tmp_path)
    record.begin_deployment(tmp_path)
    assert record.is_unfinished(tmp_path)
    # The debug stack may be destroyed meanwhile.
    record.forget(tmp_path)
    assert record.is_unfinished(tmp_path)
    record.end_deployment(tmp_path)
    record.end_deployment(tmp_path)
    assert not record.is_unfinished(tmp_path)


def test_the_time_of_an_unfinished_deployment_is_that_of_the_first_attempt(tmp_path: Path) -> None:
    assert record.unfinished_since(tmp_path) is None
    record.begin_deployment(tmp_path)
    (file,) = tmp_path.iterdir()
    os.utime(file, (1000.0, 1000.0))
    record.begin_deployment(tmp_path)
    assert record.unfinished_since(tmp_path) == 1000.0

"""The files that the screen names after an edit."""

from __future__ import annotations

from pathlib import Path

from terralive_relay.code.reload import still_there


def test_a_temporary_file_of_an_editor_is_not_named(tmp_path: Path) -> None:
    (tmp_path / "app.py").touch()
    assert still_there(tmp_path, ("app.py", "seduP2ohF")) == ("app.py",)


def test_removed_files_are_named_where_nothing_else_has_changed(tmp_path: Path) -> None:
    assert still_there(tmp_path, ("app.py", "lib.py")) == ("app.py", "lib.py")

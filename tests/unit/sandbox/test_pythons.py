"""The Pythons that deployed functions run on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from terralive_sandbox.functions.environments.pythons import Pythons

OWN = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def test_functions_of_the_sandboxes_own_version_and_terralives_own_need_no_other_python(
    tmp_path: Path,
) -> None:
    pythons = Pythons(tmp_path)
    assert pythons.own.exists()
    assert pythons.of(OWN, "app.handler") == pythons.own
    assert pythons.of("python3.99", "terralive_stub.live.handler") == pythons.own
    assert pythons.of("nodejs22.x", "app.handler") == pythons.own
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_a_version_that_is_not_on_this_machine_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pythons = Pythons(tmp_path)
    for _ in range(2):
        assert pythons.of("python3.99", "app.handler") == pythons.own
    told = capsys.readouterr().err
    assert told.count("python3.99") == 1
    assert OWN.removeprefix("python") in told


def test_a_program_that_is_no_such_python_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    # Another version by the name of the wanted one.
    (programs / "python3.99").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    pythons = Pythons(tmp_path / "pythons")
    assert pythons.of("python3.99", "app.handler") == pythons.own

"""A command that needs an extra which is not installed names it, with the line to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_testing.drivers.command import run
from terralive_testing.drivers.plain_app import plain_project

# Python imports this module at its start. It hides what the extra `sandbox` installs.
WITHOUT = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
"""


@pytest.mark.parametrize("hidden", [("uvicorn",), ("moto", "uvicorn", "websockets"), ("flask",)])
@pytest.mark.parametrize("command", ["sandbox", "plan"])
def test_a_sandbox_that_is_not_installed_is_told_with_the_line_to_type(
    tmp_path: Path, command: str, hidden: tuple[str, ...]
) -> None:
    project = plain_project(tmp_path / "plain")
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "sitecustomize.py").write_text(WITHOUT.format(hidden=hidden), "utf-8")

    ended = run(["--sandbox", command], project.root, {"PYTHONPATH": str(modules)})

    assert ended.process.returncode == 2, ended.story()
    (error,) = ended.of_type("error")
    assert error["reference"] == "sandbox-not-installed"
    assert any(f"No module named '{name}" in error["message"] for name in hidden)
    assert "pip install 'terralive[sandbox]'" in error["hint"]
    assert not any("Traceback" in line for line in ended.noise), ended.story()

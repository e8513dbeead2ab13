"""A state of terralive's own and a `terraform.tfstate` of the team's leave each other alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from terralive_terraform.runs.environment import terraform_environment
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.substitution.plain_app import PlainApp
from terralive_testing.deployers.terraform_account import actions, plan, terraform_in

# A resource of Terraform's own: no provider has to be installed.
CONFIGURATION = 'resource "terraform_data" "a" {\n  input = 1\n}\n'


@pytest.mark.parametrize("workspace", ["", "dev"], ids=["default workspace", "another workspace"])
def test_the_teams_state_is_neither_moved_nor_read(tmp_path: Path, workspace: str) -> None:
    folder, work = tmp_path / "app", tmp_path / "work"
    folder.mkdir()
    (folder / "main.tf").write_text(CONFIGURATION, "utf-8")
    environment = terraform_environment(dict(os.environ), work)
    team, _ = terraform_in(folder, environment, None)
    team.apply(plan(team, tmp_path).file)
    state = (folder / "terraform.tfstate").read_bytes()
    if workspace:
        environment = {**environment, "TF_WORKSPACE": workspace}

    def planned_in_stage() -> list[tuple[str, str]]:
        app = PlainApp(folder, "terraform")
        with app.opened(work / "app", environment, work / "app.tfstate") as opened:
            prepared = opened.prepared(opened.discovered(None))
            terraform: Terraform = prepared.terraform("terraform", environment, lambda _: None)
            made = plan(terraform, work)
            if made.has_changes:
                terraform.apply(made.file)
            assert not terraform.state.is_empty()
            return list(actions(made))

    assert planned_in_stage() == [("create", "terraform_data.a")]
    assert planned_in_stage() == []
    assert (folder / "terraform.tfstate").read_bytes() == state
    assert not (folder / "terraform.tfstate.backup").exists()
    assert actions(plan(team, tmp_path)) == []

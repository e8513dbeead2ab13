"""A stage with a state of its own uses the providers that the team's lock file selects."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from terralive_terraform.overrides.lock_file import selected_versions
from terralive_terraform.substitution.find_app import find_app

REQUIRED = """
terraform {
  required_providers {
    x = { source = "acme/x" }
  }
}
"""
TEAMS = 'provider "registry.terraform.io/acme/x" {{\n  version = "{}"\n}}\n'


@pytest.mark.parametrize("arguments", ["", "-lockfile=readonly"])
def test_a_stage_uses_the_teams_versions_from_its_first_init_on(
    tmp_path: Path, arguments: str
) -> None:
    mirror, project = tmp_path / "mirror", tmp_path / "project"
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        for platform in ("linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64"):
            folder = mirror / "registry.terraform.io" / "acme" / "x" / version / platform
            folder.mkdir(parents=True)
            (folder / f"terraform-provider-x_v{version}").write_text(version)
    project.mkdir()
    (project / "main.tf").write_text(REQUIRED)
    lock = project / ".terraform.lock.hcl"
    (tmp_path / "mirror.tfrc").write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n'
    )
    environment = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "TF_CLI_CONFIG_FILE": str(tmp_path / "mirror.tfrc"),
        "TF_CLI_ARGS_init": arguments,
    }

    def installed() -> tuple[dict[str, str], str]:
        """What an init of the stage has selected, and the provider of its plans."""
        work = tmp_path / "work"
        app = find_app(project)
        with app.prepared(None, work, environment, tmp_path / "app.tfstate") as prepared:
            prepared.terraform("terraform", environment, lambda _: None).ensure_init()
            assert prepared.data_dir is not None
            variables = prepared.files.variables(prepared.data_dir)
        used = Path(variables["TF_CLI_CONFIG_FILE"]).read_text()
        return selected_versions((work / "stage.lock.hcl").read_text()), used

    for version in ("1.0.0", "1.1.0"):
        lock.write_text(TEAMS.format(version))
        versions, used = installed()
        assert versions == {"registry.terraform.io/acme/x": version}
        # The folders of a mirror are linked to.
        assert f"/acme/x/{version}/" in used
        assert lock.read_text() == TEAMS.format(version), "the team's file stays as it is"
    lock.unlink()
    assert installed()[0] == {"registry.terraform.io/acme/x": "1.1.0"}
    assert not lock.exists()

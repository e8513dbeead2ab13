"""The versions of providers that a stage with a state of its own uses: those of the team's."""

from __future__ import annotations

from terralive_terraform.overrides.lock_file import selected_versions, with_teams_versions

HEAD = "# Terraform maintains this file.\n\n"


def provider(name: str, version: str, *hashes: str) -> str:
    lines = "".join(f'    "{item}",\n' for item in hashes)
    return (
        f'provider "registry.terraform.io/{name}" {{\n  version     = "{version}"\n'
        f'  constraints = "~> 5.0"\n  hashes = [\n{lines}  ]\n}}\n'
    )


def versions(content: str) -> dict[str, str]:
    found = selected_versions(content)
    return {address.removeprefix("registry.terraform.io/"): found[address] for address in found}


def test_the_first_init_of_a_stage_uses_the_teams_versions() -> None:
    teams = HEAD + provider("hashicorp/aws", "5.90.0", "h1:a") + provider("acme/x", "1.0.0")
    assert versions(with_teams_versions("", teams)) == {
        "hashicorp/aws": "5.90.0",
        "acme/x": "1.0.0",
    }
    assert "h1:a" in with_teams_versions("", teams)


def test_a_team_without_a_lock_file_leaves_the_stages_as_it_is() -> None:
    stages = HEAD + provider("hashicorp/aws", "5.90.0")
    assert with_teams_versions(stages, "") == stages
    assert with_teams_versions("", "") == ""
    assert with_teams_versions("", "# no provider") == ""


def test_a_stage_follows_the_team_to_another_version() -> None:
    stages = HEAD + provider("hashicorp/aws", "5.90.0") + "\n" + provider("acme/new", "2.0.0")
    teams = HEAD + provider("hashicorp/aws", "5.100.0")
    assert versions(with_teams_versions(stages, teams)) == {
        "hashicorp/aws": "5.100.0",
        "acme/new": "2.0.0",
    }


def test_a_stage_keeps_the_checksums_that_this_machine_has_added() -> None:
    stages = HEAD + provider("hashicorp/aws", "5.90.0", "h1:of-the-team", "h1:of-this-machine")
    teams = HEAD + provider("hashicorp/aws", "5.90.0", "h1:of-the-team")
    assert with_teams_versions(stages, teams) == stages

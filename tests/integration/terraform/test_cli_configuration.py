"""A user's CLI configuration of Terraform: nothing of it is lost in terralive's runs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from terralive_terraform.overrides.installed_providers import providers_environment
from terralive_terraform.runs.cli_configuration import users_configuration
from terralive_terraform.runs.environment import terraform_environment

SETTINGS = """
# credentials "commented.example.com" { token = "no" }
plugin_cache_dir   = "$HOME/cache" // created by hand
disable_checkpoint = true

credentials "app.terraform.io" {
  /* token = "an old one" */
  token = "with a } and a # in it"
}
host "tfe.example.com" {
  services = {
    "modules.v1" = "https://tfe.example.com/modules/"
  }
}
provider_installation {
  dev_overrides { "acme/x" = "/home/ana/x", "example.com/acme/y" = "/home/ana/y" }
  filesystem_mirror {
    path    = "/usr/share/terraform/providers"
    include = ["example.com/*/*"]
  }
  direct { exclude = ["example.com/*/*"] }
}
credentials_helper "keychain" {
  args = ["--fast", "--quiet"]
}
"""
IN_DEVELOPMENT = {
    "registry.terraform.io/acme/x": "/home/ana/x",
    "example.com/acme/y": "/home/ana/y",
}
LOCK = 'provider "registry.terraform.io/hashicorp/aws" {\n  version = "5.100.0"\n}\n'


def test_all_settings_but_the_installation_are_in_a_file_of_terralives(tmp_path: Path) -> None:
    (tmp_path / ".terraformrc").write_text(SETTINGS)
    users = users_configuration({"HOME": str(tmp_path)})
    assert users.caches_plugins
    assert users.has_installation
    assert users.in_development == IN_DEVELOPMENT
    assert users.tokens == {"app.terraform.io": "with a } and a # in it"}
    written = users.with_installation("  direct {}\n", {"a.example.com/b/c": "/c"}).decode()
    for block in ("plugin_cache_dir", "disable_checkpoint = true", "host", "credentials_helper"):
        assert block in written
    assert "filesystem_mirror" not in written
    assert written.count("provider_installation") == 1
    (tmp_path / "again.tfrc").write_text(written)
    again = users_configuration({"TF_CLI_CONFIG_FILE": str(tmp_path / "again.tfrc")})
    assert again.tokens == users.tokens
    assert again.in_development == {"a.example.com/b/c": "/c", **IN_DEVELOPMENT}


def test_files_are_read_where_terraform_reads_them(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".terraform.d").mkdir(parents=True)
    tokens = {
        home / ".terraformrc": 'credentials "a.example.com" { token = "of the home folder" }',
        home / ".terraform.d" / "b.tfrc": 'credentials "b.example.com" { token = "of a file" }',
        home / ".terraform.d" / "b.txt": 'credentials "x.example.com" { token = "not read" }',
        home / ".terraform.d" / "credentials.tfrc.json": json.dumps(
            {"credentials": {"c.example.com": {"token": "of terraform login"}}}
        ),
        tmp_path / "named.tfrc": 'credentials "d.example.com" { token = "of a named file" }',
        tmp_path / "old.tfrc": 'credentials "e.example.com" { token = "of the old name" }',
    }
    for file, content in tokens.items():
        file.write_text(content)
    environ = {"HOME": str(home)}
    assert users_configuration(environ).tokens == {
        "a.example.com": "of the home folder",
        "b.example.com": "of a file",
        "c.example.com": "of terraform login",
    }
    environ["TERRAFORM_CONFIG"] = str(tmp_path / "old.tfrc")
    assert users_configuration(environ).tokens == {"e.example.com": "of the old name"}
    environ["TF_CLI_CONFIG_FILE"] = str(tmp_path / "named.tfrc")
    assert users_configuration(environ).tokens == {"d.example.com": "of a named file"}
    assert users_configuration({"HOME": str(tmp_path / "nobody")}).tokens == {}


def test_no_token_is_in_a_repr(tmp_path: Path) -> None:
    (tmp_path / ".terraformrc").write_text('credentials "a.example.com" { token = "secret" }')
    assert "secret" not in repr(users_configuration({"HOME": str(tmp_path)}))


@pytest.mark.parametrize("in_json", [False, True])
def test_terraform_accepts_the_files_and_knows_the_users_providers(
    tmp_path: Path, *, in_json: bool
) -> None:
    """The stage's providers, the mirror that is named, and the user's own file of either syntax."""
    (tmp_path / "cache").mkdir()
    (tmp_path / ".terraform.d").mkdir()
    (tmp_path / "x").mkdir()
    if in_json:
        document = {
            "plugin_cache_dir": str(tmp_path / "cache"),
            "credentials": {"app.terraform.io": {"token": "t"}},
            "host": {"tfe.example.com": {"services": {"modules.v1": "https://a.example.com/"}}},
            # Terraform accepts these blocks in lists only.
            "provider_installation": [{"dev_overrides": [{"acme/x": str(tmp_path / "x")}]}],
        }
        (tmp_path / ".terraform.d" / "all.tfrc.json").write_text(json.dumps(document))
    else:
        settings = SETTINGS.replace("/home/ana", str(tmp_path))
        (tmp_path / ".terraformrc").write_text(settings)
    mirror = tmp_path / "mirror"
    plugin = mirror / "registry.terraform.io/hashicorp/aws/5.100.0/linux_amd64"
    plugin.mkdir(parents=True)
    (plugin / "terraform-provider-aws_v5.100.0_x5").touch()
    users = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    with_mirror = terraform_environment(
        {**users, "TERRALIVE_PROVIDER_MIRROR": str(mirror)}, tmp_path / "work"
    )
    lock, data_dir = tmp_path / "stage.lock.hcl", tmp_path / "data"
    lock.write_text(LOCK)
    installed = data_dir / "providers/registry.terraform.io/hashicorp/aws/5.100.0/linux_amd64"
    installed.mkdir(parents=True)
    with_providers = with_mirror | providers_environment(
        lock, data_dir, with_mirror, tmp_path / "providers.tfrc"
    )
    assert users_configuration(with_providers).in_development["registry.terraform.io/acme/x"]
    for environment in (users, with_mirror, with_providers):
        # `plan` reads the CLI configuration, and names the providers in development.
        ended = subprocess.run(
            ["terraform", "plan", "-no-color"],
            cwd=tmp_path / "x",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "CLI configuration" not in ended.stderr
        assert f"acme/x in {tmp_path / 'x'}" in ended.stdout
    assert f"hashicorp/aws in {installed}" in ended.stdout


def test_a_users_own_provider_in_development_comes_before_the_stages(tmp_path: Path) -> None:
    (tmp_path / ".terraformrc").write_text(
        'provider_installation {\n  dev_overrides {\n    "hashicorp/aws" = "/home/ana/aws"\n  }\n}'
    )
    users = users_configuration({"HOME": str(tmp_path)})
    written = users.with_installation("", {"registry.terraform.io/hashicorp/aws": "/stage"})
    assert b'"registry.terraform.io/hashicorp/aws" = "/home/ana/aws"' in written
    assert b"/stage" not in written

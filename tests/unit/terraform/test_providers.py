"""Regions and credentials of AWS providers, read from the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_terraform.discovery.providers import (
    AwsProvider,
    default_provider,
    find_aws_providers,
)


def read(
    folder: Path, environ: dict[str, str] | None = None, arguments: tuple[str, ...] = ()
) -> dict[str, AwsProvider]:
    return {item.alias: item for item in find_aws_providers(folder, arguments, environ or {})}


def test_literal_settings_of_all_providers_are_read(tmp_path: Path) -> None:
    (tmp_path / "providers.tf").write_text(
        """
        provider "aws" {
          region = "eu-west-1"
        }
        provider "aws" {
          alias   = "us"
          region  = "us-east-1"
          profile = "us"
        }
        provider "aws" {
          alias = "workload"
          assume_role {
            role_arn    = "arn:aws:iam::222222222222:role/deploy"
            external_id = "agreed"
          }
        }
        provider "google" { region = "europe-west1" }
        """
    )
    found = read(tmp_path)
    file = tmp_path / "providers.tf"
    assert found[""] == AwsProvider(file, region="eu-west-1")
    assert found["us"] == AwsProvider(file, alias="us", region="us-east-1", profile="us")
    role = "arn:aws:iam::222222222222:role/deploy"
    assert found["workload"] == AwsProvider(
        file, alias="workload", role_arn=role, external_id="agreed"
    )
    assert default_provider(tuple(found.values())) == found[""]


def test_json_syntax_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "cdk.tf.json").write_text(
        '{"provider": {"aws": [{"region": "eu-west-1"}, {"alias": "us", "region": "us-east-1"}]}}'
    )
    assert {alias: item.region for alias, item in read(tmp_path).items()} == {
        "": "eu-west-1",
        "us": "us-east-1",
    }


@pytest.mark.parametrize(
    ("files", "environ", "region"),
    [
        ({}, {}, None),
        ({"variables.tf": 'variable "region" { default = "eu-west-1" }'}, {}, "eu-west-1"),
        ({}, {"TF_VAR_region": "eu-west-2"}, "eu-west-2"),
        ({"terraform.tfvars": 'region = "eu-west-3"'}, {"TF_VAR_region": "eu-west-2"}, "eu-west-3"),
        (
            {"terraform.tfvars": 'region = "eu-west-3"', "x.auto.tfvars": 'region = "eu-north-1"'},
            {},
            "eu-north-1",
        ),
        ({"terraform.tfvars.json": '{"region": "eu-central-1"}'}, {}, "eu-central-1"),
    ],
    ids=["unknown", "default", "environment", "tfvars", "auto", "json"],
)
def test_a_variable_has_the_value_that_terraform_would_take(
    tmp_path: Path, files: dict[str, str], environ: dict[str, str], region: str | None
) -> None:
    (tmp_path / "main.tf").write_text('provider "aws" {\n  region = var.region\n}\n')
    for name, content in files.items():
        (tmp_path / name).write_text(content + "\n")
    assert read(tmp_path, environ)[""].region == region


def test_a_variables_file_of_the_command_line_wins(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('provider "aws" {\n  region = var.region\n}\n')
    (tmp_path / "terraform.tfvars").write_text('region = "eu-west-3"\n')
    file = tmp_path / "dev.tfvars"
    file.write_text('region = "us-east-2"\n')
    assert read(tmp_path, arguments=(f"-var-file={file}",))[""].region == "us-east-2"
    typed = (f"-var-file={file}", "-var=region=us-west-1")
    assert read(tmp_path, arguments=typed)[""].region == "us-west-1"


def test_an_override_file_changes_single_settings(tmp_path: Path) -> None:
    (tmp_path / "z.tf").write_text('provider "aws" {\n  region = "a"\n  profile = "p"\n}\n')
    (tmp_path / "a_override.tf").write_text('provider "aws" {\n  region = "eu-west-1"\n}\n')
    found = read(tmp_path)[""]
    assert (found.region, found.profile) == ("eu-west-1", "p")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ('region = "eu-west-1"', False),
        ('access_key = "AKIA"\n  secret_key = "x"', True),
        ('shared_credentials_files = ["/ci/credentials"]', True),
        ('assume_role_with_web_identity {\n    role_arn = "x"\n  }', True),
        ('dynamic "assume_role" {\n    for_each = [1]\n    content {}\n  }', True),
    ],
)
def test_credentials_in_a_provider_are_noticed(
    tmp_path: Path, settings: str, *, expected: bool
) -> None:
    (tmp_path / "main.tf").write_text(f'provider "aws" {{\n  {settings}\n}}\n')
    assert read(tmp_path)[""].has_credentials is expected


def test_what_only_terraform_can_compute_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('provider "aws" {\n  region = local.regions["dev"]\n}\n')
    assert read(tmp_path)[""].region is None


def test_a_configuration_without_a_provider_block_has_none(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('resource "aws_sqs_queue" "q" {}\n')
    assert read(tmp_path) == {}
    assert read(tmp_path / "missing") == {}

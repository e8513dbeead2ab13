"""Production is recognised by whole words, wherever its name is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from terralive_cli.configuration.loading import load
from terralive_cli.protection.production import (
    Name,
    names_environment,
    refuse_production,
    signs_of_production,
    tag_names,
    variable_names,
)
from terralive_cli.protection.project_names import names_in_project
from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import Json
from terralive_terraform.evaluation.document import Evaluation
from terralive_terraform.runs.arguments import users_arguments

WORDS = ("prod", "production", "prd")


@pytest.mark.parametrize(
    "name",
    [
        *("prod", "PROD", "production", "prd", "orders-prod", "prod_eu", "prod-eu-1", "prod1"),
        *("ordersProd", "ProdOrders", "acme/prod/orders.tfstate", "acme.production", "eu:prd"),
        *("PRD-orders", "prod.eu.tfvars", "env:/prod/orders", "prod-${var.region}"),
        *('${lookup({ prd = "dev" }, var.env)}-prod', "arn:aws:iam::${var.id}:role/ProdDeploy"),
    ],
)
def test_a_name_with_a_word_for_production_looks_like_it(name: str) -> None:
    assert signs_of_production([Name("folder", name)], WORDS)


@pytest.mark.parametrize(
    "name",
    [
        *("products", "product-api", "reproduce", "producer", "dev", "", "nonprod", "non-prod"),
        *(
            "${var.prod}-orders",
            '${merge({ a = "b" }, local.prod)}-orders',
            "non-${var.x}",
            "non-prod-${var.region}",
            "orders-non-production",
            "preprod",
            "pre-prod",
            "notProd",
            "no_prod",
            "live",
            "main",
        ),
    ],
)
def test_a_name_without_one_does_not(name: str) -> None:
    assert not signs_of_production([Name("folder", name)], WORDS)


def test_live_means_production_as_the_name_of_an_environment_only() -> None:
    assert signs_of_production([Name("tag env =", "live", is_environment=True)], WORDS)
    assert not signs_of_production([Name("folder", "infrastructure-live")], WORDS)


def test_a_team_says_which_words_mean_production() -> None:
    name = Name("stage", "blue", is_environment=True)
    assert signs_of_production([name], ("Blue",))
    assert not signs_of_production([Name("stage", "prod", is_environment=True)], ())
    assert not signs_of_production([Name("stage", "live", is_environment=True)], ())


def test_all_names_are_listed_and_the_user_may_allow_them() -> None:
    names = [Name("folder", "prod"), Name("AWS profile", "acme-prd"), Name("stage", "dev")]
    with pytest.raises(ConfigurationError) as raised:
        refuse_production(names, WORDS)
    assert raised.value.reference == "stage-protected"
    assert 'folder "prod", AWS profile "acme-prd".' in raised.value.message
    assert "--allow-protected" in raised.value.hint
    refuse_production(names, WORDS, allowed=True)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        *((key, True) for key in ("env", "Environment", "STAGE", "acme:env", "EnvironmentName")),
        *((key, False) for key in ("Name", "cost-centre", "inventory", "environs", "backstage")),
    ],
)
def test_tags_of_environments(key: str, expected: bool) -> None:
    assert bool(list(tag_names({key: "prod"}))) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("env", "environment", "stage", "app_env", "environment_name")),
        *((name, False) for name in ("node_env", "RAILS_ENV", "api_stage", "name", "inventory")),
    ],
)
def test_variables_of_environments(name: str, expected: bool) -> None:
    assert names_environment(name) is expected


def test_variables_as_terraform_knows_them() -> None:
    document: dict[str, Json] = {
        "variables": {
            "environment": {"value": "prod"},
            "default_tags": {"value": {"Env": "prd", "Team": "prod"}},
            "peer": {"value": {"environment": "prod"}},
            "region": {"value": "prod"},
            "stage": {"value": "production"},
        },
        "configuration": {"root_module": {"variables": {"stage": {"sensitive": True}}}},
    }
    variables = Evaluation(document, Path()).variables()
    found = signs_of_production(variable_names(variables), WORDS)
    assert [str(name) for name in found] == ['variable environment = "prod"', 'tag Env = "prd"']


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder in a repository."""
    (tmp_path / ".git").mkdir()
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "main.tf").write_text("", "utf-8")
    return folder


def signs(
    folder: Path,
    environ: Mapping[str, str] | None = None,
    arguments: tuple[str, ...] = (),
    **flags: str,
) -> list[str]:
    """The names in a project that look like production."""
    config = load(
        project=folder, flags=flags, environ=environ or {}, user="ana", arguments=arguments
    )
    return [
        str(name) for name in signs_of_production(names_in_project(config, environ or {}), WORDS)
    ]


def test_an_ordinary_project_has_no_sign(project: Path) -> None:
    assert signs(project, {"AWS_PROFILE": "acme-dev", "TF_VAR_environment": "dev"}) == []


def test_a_folder_below_the_repositorys_top(tmp_path: Path, project: Path) -> None:
    folder = project / "envs" / "prod" / "eu"
    folder.mkdir(parents=True)
    assert signs(folder) == ['folder "prod"']
    (project / "terralive.toml").write_text('[terraform]\ndir = "envs/prod/eu"\n', "utf-8")
    assert signs(project) == ['folder "prod"']
    assert signs(tmp_path) == []


def test_the_repositorys_own_folder_says_nothing(tmp_path: Path) -> None:
    top = tmp_path / "prod-tools"
    (top / ".git").mkdir(parents=True)
    (top / "app").mkdir()
    assert signs(top / "app") == []


def test_without_a_repository_the_folder_and_the_one_around_it_count(tmp_path: Path) -> None:
    folder = tmp_path / "x" / "prod" / "eu"
    folder.mkdir(parents=True)
    assert signs(folder) == ['folder "prod"']
    (folder / "a" / "b").mkdir(parents=True)
    assert signs(folder / "a" / "b") == []


@pytest.mark.parametrize("variable", ["TF_CLI_ARGS", "TF_CLI_ARGS_plan"])
@pytest.mark.parametrize("option", ["-var-file=settings/eu.tfvars", "-var-file settings/eu.tfvars"])
def test_a_variables_file_that_the_environment_names_is_read(
    project: Path, variable: str, option: str
) -> None:
    (project / "settings").mkdir()
    (project / "settings" / "eu.tfvars").write_text('environment = "prod"\n', "utf-8")
    assert signs(project, {variable: option}) == ['variable environment = "prod"']


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["-var", "env=prod"], ['variable env = "prod"']),
        (["-var=size=1", "-var=environment=production"], ['variable environment = "production"']),
        (["-var-file=prod.tfvars"], ['variables file "app/prod.tfvars"']),
        (["-var-file", "eu.tfvars"], ['variable environment = "prod"']),
        (["-var=env=dev", "-parallelism=3"], []),
    ],
)
def test_arguments_for_terraform_that_are_typed(
    project: Path, typed: list[str], expected: list[str]
) -> None:
    (project / "prod.tfvars").write_text("", "utf-8")
    (project / "eu.tfvars").write_text('environment = "prod"\n', "utf-8")
    assert signs(project, arguments=users_arguments(typed, project)) == expected


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (
            'backend "s3" {\n bucket = "acme-prod"\n key = "orders"\n}',
            'backend\'s bucket "acme-prod"',
        ),
        ('backend "s3" {\n key = "prod/orders"\n}', 'backend\'s key "prod/orders"'),
        (
            'backend "http" {\n address = "https://prod:x@acme.test/state/orders-prod?a=prd"\n}',
            'backend\'s address "/state/orders-prod"',
        ),
        (
            'backend "s3" {\n assume_role = {\n role_arn = "arn:aws:iam::1:role/prd"\n }\n}',
            'backend\'s role "arn:aws:iam::1:role/prd"',
        ),
        ('backend "gcs" {\n prefix = "orders/prd"\n}', 'backend\'s prefix "orders/prd"'),
        (
            'backend "s3" {\n workspace_key_prefix = "production"\n}',
            'backend\'s workspace_key_prefix "production"',
        ),
        (
            'backend "remote" {\n workspaces {\n prefix = "prod-"\n }\n}',
            'backend\'s workspace prefix "prod-"',
        ),
        (
            'cloud {\n workspaces {\n name = "orders-prod"\n }\n}',
            'backend\'s workspace name "orders-prod"',
        ),
    ],
)
def test_the_backend_of_the_configuration(project: Path, block: str, expected: str) -> None:
    (project / "main.tf").write_text(f"terraform {{\n{block}\n}}\n", "utf-8")
    assert signs(project) == [expected]


def test_the_backend_in_json_and_as_it_was_initialised(project: Path) -> None:
    document = {"terraform": {"backend": {"s3": {"key": "prod/a"}}}}
    (project / "main.tf.json").write_text(json.dumps(document), "utf-8")
    (project / ".terraform").mkdir()
    initialised = {
        "backend": {"type": "s3", "config": {"key": "b", "bucket": "prd", "token": "prod"}}
    }
    (project / ".terraform" / "terraform.tfstate").write_text(json.dumps(initialised), "utf-8")
    assert signs(project) == ['backend\'s key "prod/a"', 'backend\'s bucket "prd"']


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"AWS_PROFILE": "acme-prod"}, 'AWS profile "acme-prod"'),
        ({"TF_VAR_environment": "production"}, 'variable environment = "production"'),
        ({"TF_CLI_ARGS_plan": "-var env=prod"}, 'variable env = "prod"'),
        ({"TF_CLI_ARGS": "-lock=false '-var=stage=prod'"}, 'variable stage = "prod"'),
        ({"TF_CLI_ARGS_plan": "-var-file=prod.tfvars"}, 'variables file "prod.tfvars"'),
        ({"TF_CLI_ARGS_init": "-backend-config=prod.hcl"}, 'backend\'s file "app/prod.hcl"'),
        ({"TF_CLI_ARGS_init": "-backend-config key=prod/a"}, 'backend\'s key "prod/a"'),
        ({"TF_HTTP_ADDRESS": "https://a.test/prod"}, 'backend\'s address "/prod"'),
        ({"TF_WORKSPACE": "orders-prod"}, 'Terraform workspace "orders-prod"'),
    ],
)
def test_the_environment(project: Path, environ: dict[str, str], expected: str) -> None:
    assert signs(project, environ) == [expected]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('profile = "acme-prod"', 'provider\'s profile "acme-prod"'),
        (
            'assume_role {\n role_arn = "arn:aws:iam::1:role/prod-deploy"\n}',
            'provider\'s role "arn:aws:iam::1:role/prod-deploy"',
        ),
        (
            'default_tags {\n tags = {\n Environment = "production"\n Team = "prod"\n }\n}',
            'tag Environment = "production"',
        ),
    ],
)
def test_the_provider(project: Path, arguments: str, expected: str) -> None:
    (project / "providers.tf").write_text(f'provider "aws" {{\n{arguments}\n}}\n', "utf-8")
    assert signs(project) == [expected]


def test_the_backends_arguments_in_the_configuration(project: Path) -> None:
    (project / "prod").mkdir()
    (project / "prod" / "eu.hcl").write_text('key = "a"\nbucket = "acme-prod"\n', "utf-8")
    toml = '[terraform]\nbackend_config = ["key=prd/orders", "secret=prod", "prod/eu.hcl"]\n'
    (project / "terralive.toml").write_text(toml, "utf-8")
    assert signs(project) == [
        'backend\'s key "prd/orders"',
        'backend\'s file "app/prod/eu.hcl"',
        'backend\'s bucket "acme-prod"',
    ]


def test_variables_files_by_name_folder_and_content(project: Path) -> None:
    (project / "prod").mkdir()
    (project / "prod" / "eu.tfvars").write_text("", "utf-8")
    (project / "eu.tfvars").write_text('region = "eu"\nenvironment = "prod"\n', "utf-8")
    (project / "a.auto.tfvars.json").write_text('{\n "stage": "prd"\n}', "utf-8")
    toml = '[terraform]\nvar_files = ["prod/eu.tfvars", "eu.tfvars"]\n'
    (project / "terralive.toml").write_text(toml, "utf-8")
    assert signs(project) == [
        'variables file "app/prod/eu.tfvars"',
        'variable environment = "prod"',
        'variable stage = "prd"',
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("terraform.tfvars.json", '{"region": "eu", "environment": "prod"}'),
        ("terraform.tfvars", '\ufeffenvironment = "prod"\n'),
        ("terraform.tfvars", 'labels = { team = "x", environment = "prod" }\n'),
    ],
)
def test_variables_on_one_line_and_behind_a_byte_order_mark(
    project: Path, name: str, content: str
) -> None:
    (project / name).write_text(content, "utf-8")
    assert signs(project) == ['variable environment = "prod"']


def test_a_comment_in_a_variables_file_says_nothing(project: Path) -> None:
    content = '# in production, environment = "prod"\nenvironment = "dev"\n'
    (project / "terraform.tfvars").write_text(content, "utf-8")
    assert signs(project) == []


def test_the_stage(project: Path) -> None:
    assert signs(project, stage="orders-prd") == ['stage "orders-prd"']

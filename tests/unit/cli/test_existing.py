"""Functions that exist while the state does not have them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.aws import Caller
from terralive_cli.protection.existing import Located, created_functions, local_state
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.discovery.providers import AwsProvider
from terralive_terraform.output.shown_plan import PlannedResource, ShownPlan

if TYPE_CHECKING:
    import boto3

OWN, OTHER = "111111111111", "222222222222"
KIND = "aws_lambda_function"
FILE = Path("main.tf")
DEFAULT = AwsProvider(FILE, region="eu-west-1")
US = AwsProvider(FILE, alias="us", region="us-east-1")
WORKLOAD = AwsProvider(FILE, alias="workload", role_arn=f"arn:aws:iam::{OTHER}:role/deploy")
COMPUTED = AwsProvider(FILE, alias="computed", role_arn=None)


@pytest.fixture
def accounts() -> Accounts:
    import boto3  # noqa: PLC0415 - heavy

    session: boto3.Session = boto3.Session("AKIA", "secret", region_name="eu-west-1")
    return Accounts(
        Caller(
            account=OWN,
            arn=f"arn:aws:iam::{OWN}:user/ana",
            region="eu-west-1",
            credentials=lambda: pytest.fail("nobody asks for credentials"),
            session=session,
            endpoint_url="http://127.0.0.1:9",
        )
    )


def planned(address: str, action: str = "create", **after: str) -> PlannedResource:
    return PlannedResource(address, KIND, action, after={"function_name": "f", **after})


def located(
    resource: PlannedResource,
    declared: DeclaredFunction,
    accounts: Accounts,
    *providers: AwsProvider,
) -> list[Located]:
    plan = ShownPlan((resource,), is_first=True)
    created = created_functions(plan, [declared], providers, accounts, "eu-central-1")
    return [function.located for function in created if function.located is not None]


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        (None, Located("f", OWN, "eu-west-1")),
        ("aws.us", Located("f", OWN, "us-east-1")),
        ("aws.workload", Located("f", OTHER, "eu-central-1")),
        ("aws.computed", None),
        ("aws.unknown", None),
    ],
)
def test_a_new_function_is_where_its_provider_works(
    accounts: Accounts, provider: str | None, expected: Located | None
) -> None:
    declared = DeclaredFunction(f"{KIND}.f", "f", provider=provider)
    found = located(planned(f'{KIND}.f["a"]'), declared, accounts, DEFAULT, US, WORKLOAD, COMPUTED)
    assert found == [item for item in [expected] if item is not None]


def test_without_a_provider_block_it_is_in_the_stages_region(accounts: Accounts) -> None:
    declared = DeclaredFunction(f"{KIND}.f", "f")
    assert located(planned(f"{KIND}.f"), declared, accounts) == [Located("f", OWN, "eu-central-1")]


def test_a_resource_may_have_a_region_of_its_own(accounts: Accounts) -> None:
    declared = DeclaredFunction(f"{KIND}.f", "f")
    resource = planned(f"{KIND}.f", region="ap-south-1")
    assert located(resource, declared, accounts, DEFAULT) == [Located("f", OWN, "ap-south-1")]


def test_a_function_that_is_in_the_state_is_not_new(accounts: Accounts) -> None:
    declared = DeclaredFunction(f"{KIND}.f", "f")
    assert located(planned(f"{KIND}.f", "update"), declared, accounts, DEFAULT) == []


def test_a_modules_provider_is_known_only_where_there_is_one(accounts: Accounts) -> None:
    address = f"module.m.{KIND}.f"
    declared = DeclaredFunction(address, "f", provider="aws.given")
    assert located(planned(address), declared, accounts, DEFAULT, US) == []
    assert located(planned(address), declared, accounts, DEFAULT) == [
        Located("f", OWN, "eu-west-1")
    ]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("aws.us", [Located("f", OWN, "us-east-1")]),
        ("aws", [Located("f", OWN, "eu-west-1")]),
        ("module.m:aws", []),
    ],
)
def test_terraform_tells_the_provider_of_a_function_in_a_module(
    accounts: Accounts, key: str, expected: list[Located]
) -> None:
    address = f"module.m.{KIND}.f"
    declared = DeclaredFunction(address, "f", provider="aws.given")
    resource = replace(planned(address), provider=key)
    assert located(resource, declared, accounts, DEFAULT, US) == expected


@pytest.mark.parametrize(
    ("address", "provider", "role", "expected"),
    [
        ("f", "aws.workload", "", {OTHER}),
        ("f", "aws.computed", "", {""}),
        ("f", "aws.computed", f"arn:aws:iam::{OTHER}:role/f", {OTHER}),
        ("f", "aws.unknown", "", {""}),
        ("module.m.f", None, "", {OWN, OTHER, ""}),
    ],
    ids=["role", "computed", "known by its role", "not declared", "in a module"],
)
def test_a_function_has_one_account_or_several_possible_ones(
    accounts: Accounts, address: str, provider: str | None, role: str, expected: set[str]
) -> None:
    full = address.replace("f", f"{KIND}.f")
    plan = ShownPlan((planned(full, function_name="", role=role),), is_first=True)
    providers = (DEFAULT, US, WORKLOAD, COMPUTED)
    declared = [DeclaredFunction(full, "f", provider=provider)]
    (found,) = created_functions(plan, declared, providers, accounts, "eu-central-1")
    assert found.address == full
    assert found.accounts == expected


def test_a_function_that_does_not_become_live_is_not_looked_at(accounts: Accounts) -> None:
    plan = ShownPlan((planned(f"{KIND}.other"),), is_first=True)
    declared = [DeclaredFunction(f"{KIND}.f", "f")]
    assert list(created_functions(plan, declared, (), accounts, "eu-central-1")) == []


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        (None, "terraform.tfstate"),
        ({"type": "local", "config": {"path": None}}, "terraform.tfstate"),
        ({"type": "local", "config": {"path": "states/dev.tfstate"}}, "states/dev.tfstate"),
        ({"type": "s3", "config": {"bucket": "b"}}, None),
    ],
    ids=["no init", "default", "path", "s3"],
)
def test_the_state_of_a_local_backend_is_a_file(
    tmp_path: Path, backend: object, expected: str | None
) -> None:
    if backend is not None:
        (tmp_path / ".terraform").mkdir()
        (tmp_path / ".terraform" / "terraform.tfstate").write_text(json.dumps({"backend": backend}))
    assert local_state(tmp_path, {}) == (tmp_path / expected if expected else None)


@pytest.mark.parametrize(("named", "folder"), [(".tf", ".tf"), ("", ".terraform")])
def test_the_backend_is_read_in_the_data_folder_that_the_environment_names(
    tmp_path: Path, named: str, folder: str
) -> None:
    (tmp_path / folder).mkdir()
    backend = {"type": "local", "config": {"path": "dev.tfstate"}}
    (tmp_path / folder / "terraform.tfstate").write_text(json.dumps({"backend": backend}))
    assert local_state(tmp_path, {"TF_DATA_DIR": named}) == tmp_path / "dev.tfstate"


def test_each_workspace_has_a_state_of_its_own(tmp_path: Path) -> None:
    default = {"TF_WORKSPACE": "default"}
    assert local_state(tmp_path, default) == tmp_path / "terraform.tfstate"
    state = tmp_path / "terraform.tfstate.d" / "dev" / "terraform.tfstate"
    assert local_state(tmp_path, {"TF_WORKSPACE": "dev"}) == state

"""Sessions in the accounts of an app's functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from terralive_cli.configuration.loading import load
from terralive_cli.configuration.tables import AccountSettings
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.aws import Caller
from terralive_stub.errors import ConfigurationError, CredentialsError
from terralive_terraform.discovery.providers import AwsProvider

if TYPE_CHECKING:
    import boto3

OWN, OTHER = "111111111111", "222222222222"
FILE = Path("main.tf")
ROLE = f"arn:aws:iam::{OTHER}:role/deploy"


@pytest.fixture
def session() -> boto3.Session:
    import boto3  # noqa: PLC0415 - heavy

    return boto3.Session("AKIA", "secret", region_name="eu-west-1")


@pytest.fixture
def caller(session: boto3.Session) -> Caller:
    return Caller(
        account=OWN,
        arn=f"arn:aws:iam::{OWN}:user/ana",
        region="eu-west-1",
        credentials=lambda: pytest.fail("nobody asks for credentials"),
        session=session,
        endpoint_url="http://127.0.0.1:9",
    )


def test_the_callers_own_account_needs_no_role(caller: Caller) -> None:
    accounts = Accounts(caller)
    assert accounts.session_for(OWN, "eu-west-1") is caller.session
    elsewhere = accounts.session_for(OWN, "us-east-1")
    assert elsewhere.region_name == "us-east-1"
    keys = elsewhere.get_credentials()
    assert keys is not None
    assert keys.access_key == "AKIA"


def test_a_role_of_the_provider_or_of_the_configuration_enters_another_account(
    caller: Caller,
) -> None:
    by_provider = Accounts(caller, (AwsProvider(FILE, alias="w", role_arn=ROLE),))
    by_settings = Accounts(caller, (), (AccountSettings(OTHER, role_arn=ROLE),))
    for accounts in (by_provider, by_settings):
        session = accounts.session_for(OTHER, "us-east-1")
        assert session.region_name == "us-east-1"
        assert session is not caller.session


def test_an_account_that_nothing_enters_is_named_with_the_lines_to_add(caller: Caller) -> None:
    with pytest.raises(CredentialsError, match=OTHER) as raised:
        Accounts(caller).session_for(OTHER, "eu-west-1")
    assert raised.value.reference == "no-account-credentials"
    assert f'[accounts."{OTHER}"]' in raised.value.hint


def test_no_profile_of_the_users_is_used_in_a_sandbox(caller: Caller) -> None:
    accounts = Accounts(caller, (), (AccountSettings(OTHER, profile="work"),))
    with pytest.raises(CredentialsError, match="no credentials"):
        accounts.session_for(OTHER, "eu-west-1")


@pytest.mark.parametrize(
    ("provider", "account"),
    [
        (AwsProvider(FILE), OWN),
        (AwsProvider(FILE, region="us-east-1"), OWN),
        (AwsProvider(FILE, role_arn=ROLE), OTHER),
        (AwsProvider(FILE, role_arn=None), None),
        (AwsProvider(FILE, profile=None), None),
    ],
    ids=["plain", "region", "role", "computed role", "computed profile"],
)
def test_the_account_of_a_provider(
    caller: Caller, provider: AwsProvider, account: str | None
) -> None:
    assert Accounts(caller).account_of(provider) == account


def read(folder: Path, text: str) -> tuple[tuple[str, ...], tuple[AccountSettings, ...]]:
    (folder / "terralive.toml").write_text(text, "utf-8")
    config = load(project=folder, flags={}, environ={}, user="ana")
    return config.accounts, config.account_settings


def test_accounts_may_be_a_list_or_tables(tmp_path: Path) -> None:
    assert read(tmp_path, f'accounts = ["{OWN}"]\n') == ((OWN,), ())
    text = f'[accounts."{OWN}"]\n[accounts.{OTHER}]\nrole_arn = "{ROLE}"\nexternal_id = "x"\n'
    assert read(tmp_path, text) == (
        (OWN, OTHER),
        (AccountSettings(OWN), AccountSettings(OTHER, role_arn=ROLE, external_id="x")),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[accounts.12]\n", "twelve digits"),
        (f'[accounts.{OTHER}]\nrole_arn = "deploy"\n', "no ARN of an IAM role"),
        (f'[accounts.{OTHER}]\nrole = "{ROLE}"\n', "no such setting"),
        (f'[accounts]\n{OTHER} = "x"\n', "a table"),
    ],
    ids=["no id", "no role", "unknown key", "no table"],
)
def test_a_mistake_in_an_account_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read(tmp_path, text)


def test_a_session_is_opened_once_for_an_account(caller: Caller) -> None:
    accounts = Accounts(caller, (), (AccountSettings(OTHER, role_arn=ROLE),))
    first = accounts.session_for(OTHER, "eu-west-1")
    assert accounts.session_for(OTHER, "eu-west-1") is first
    assert cast("object", first) is not caller.session


def test_a_client_is_made_once_for_each_service_account_and_region(caller: Caller) -> None:
    accounts = Accounts(caller, (), (AccountSettings(OTHER, role_arn=ROLE),))
    names = [
        (service, account, region)
        for service in ("lambda", "sts")
        for account in (OWN, OTHER)
        for region in ("eu-west-1", "us-east-1")
    ]
    clients = [accounts.client(*name) for name in names]
    assert len({id(client) for client in clients}) == len(names)
    again = [accounts.client(*name) for name in names]
    assert all(one is other for one, other in zip(clients, again, strict=True))

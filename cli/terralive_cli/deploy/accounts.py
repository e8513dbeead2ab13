"""Sessions in the accounts of an app's functions, which may be others than the debug stack's.

The order: the caller's own account; the `assume_role` or `profile` of the app's providers, where
the configuration tells them; `[accounts."ID"]` of terralive.toml. In a sandbox no profile of the
user's is used: its keys are those of real accounts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from terralive_cli.configuration.tables import AccountSettings
from terralive_cli.deploy.aws import Caller
from terralive_stub.errors import CredentialsError
from terralive_stub.shared.arns import place_of
from terralive_terraform.discovery.providers import AwsProvider

if TYPE_CHECKING:
    import boto3

_log: Final = logging.getLogger("terralive.cli")
_SESSION_NAME: Final = "terralive"


@dataclass(frozen=True, slots=True)
class _Access:
    """A way into an account: a profile, a role, or a role that a profile assumes; "" for none."""

    profile: str
    role_arn: str
    external_id: str = ""


@dataclass(frozen=True, slots=True)
class _ClientName:
    service: str
    account: str
    region: str


class Accounts:
    """Sessions and clients by account and region. They refresh their credentials themselves.

    Args:
        caller: the caller, in the account of the debug stack.
        providers: the AWS providers of the app.
        settings: the accounts of terralive.toml.
    """

    def __init__(
        self,
        caller: Caller,
        providers: tuple[AwsProvider, ...] = (),
        settings: tuple[AccountSettings, ...] = (),
    ) -> None:
        self._caller = caller
        self._providers = providers
        self._settings = settings
        # Sessions that were opened, by account.
        self._sessions: dict[str, boto3.Session] = {caller.account: caller.session}
        # Clients by service, account and region: making one takes long.
        self._clients: dict[_ClientName, Any] = {}
        # The accounts of profiles that were asked; "" where a profile cannot be used.
        self._profile_accounts: dict[str, str] = {}

    def session_for(self, account: str, region: str) -> boto3.Session:
        """Return a session in an account and region.

        Raises:
            CredentialsError: `no-account-credentials`.
        """
        found = self._sessions.get(account)
        if found is None:
            found = self._sessions[account] = self._opened(account)
        if found.region_name == region:
            return found
        return _in_region(found, region)

    def client(self, service: str, account: str, region: str) -> Any:  # noqa: ANN401  # boto3's clients are made at run time
        """Return the client of a service in an account and region; see `session_for`."""
        name = _ClientName(service, account, region)
        if name not in self._clients:
            self._clients[name] = self.session_for(account, region).client(
                service,  # type: ignore[call-overload]  # by name
                endpoint_url=self._caller.endpoint_url,
            )
        return self._clients[name]

    def account_of(self, provider: AwsProvider) -> str | None:
        """Return the account that a provider works in; None where that is not known."""
        if provider.role_arn is None or provider.profile is None:
            return None
        if provider.role_arn:
            return place_of(provider.role_arn).account or None
        if provider.profile and self._caller.endpoint_url is None:
            return self._account_of_profile(provider.profile) or None
        return self._caller.account

    def _opened(self, account: str) -> boto3.Session:
        for access in self._ways_into(account):
            _log.debug("account %s is entered by %s", account, access.role_arn or access.profile)
            base = self._caller.session
            if access.profile:
                base = _profile_session(access.profile, self._caller.region)
            if access.role_arn:
                return _assumed(base, access, self._caller.endpoint_url)
            return base
        raise CredentialsError(
            "no-account-credentials",
            f"terralive has no credentials for account {account}, in which functions of the app "
            "are.",
            hint="Say in terralive.toml how to enter it:\n"
            f'[accounts."{account}"]\n'
            f'role_arn = "arn:aws:iam::{account}:role/…"\n'
            "A `profile` is possible, too.",
        )

    def _ways_into(self, account: str) -> Iterator[_Access]:
        for provider in self._providers:
            if self.account_of(provider) == account:
                profile = self._usable(provider.profile)
                yield _Access(profile, provider.role_arn or "", provider.external_id)
        for item in self._settings:
            profile = self._usable(item.profile)
            if item.account == account and (profile or item.role_arn):
                yield _Access(profile, item.role_arn or "", item.external_id or "")

    def _usable(self, profile: str | None) -> str:
        """Return a profile; "" in a sandbox, which no profile of the user's belongs to."""
        if profile is None or self._caller.endpoint_url is not None:
            return ""
        return profile

    def _account_of_profile(self, profile: str) -> str:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        if profile not in self._profile_accounts:
            account = ""
            try:
                session = _profile_session(profile, self._caller.region)
                account = session.client("sts").get_caller_identity()["Account"]
            except (ClientError, BotoCoreError) as error:
                _log.debug("profile %s cannot be used: %s", profile, type(error).__name__)
            self._profile_accounts[profile] = account
        return self._profile_accounts[profile]


class Clients(Protocol):
    """Clients of AWS's services by account and region."""

    def client(self, service: str, account: str, region: str) -> Any:  # noqa: ANN401  # as above
        """Return the client of a service; see `Accounts.client`."""


@dataclass(frozen=True, slots=True)
class AllAccounts:
    """The `Clients` of several stacks, whose providers may enter different accounts.

    Attributes:
        stacks: those of each stack; at least one.
    """

    stacks: tuple[Clients, ...]

    def client(self, service: str, account: str, region: str) -> Any:  # noqa: ANN401  # as above
        """Return the client of the first stack that enters the account; see `Accounts.client`."""
        *others, last = self.stacks
        for stack in others:
            with suppress(CredentialsError):
                return stack.client(service, account, region)
        return last.client(service, account, region)


class _Resolver:
    """The credentials of a session, in the form in which botocore asks for them."""

    def __init__(self, credentials: object) -> None:
        # botocore's credentials; they refresh themselves.
        self._credentials = credentials

    def load_credentials(self) -> object:
        """Return the credentials."""
        return self._credentials


def _profile_session(profile: str, region: str) -> boto3.Session:
    import boto3  # noqa: PLC0415  # heavy

    return boto3.Session(profile_name=profile, region_name=region)


def _assumed(base: boto3.Session, access: _Access, endpoint_url: str | None) -> boto3.Session:
    """Return a session of a role that `base` assumes, again whenever its credentials expire.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    """
    from botocore.credentials import (  # noqa: PLC0415  # heavy
        AssumeRoleCredentialFetcher,
        DeferredRefreshableCredentials,
    )

    def create_client(service: str, **options: Any) -> Any:  # noqa: ANN401  # botocore's own signature
        return base.client(service, endpoint_url=endpoint_url, **options)  # type: ignore[call-overload]

    extra: Mapping[str, str] = {"RoleSessionName": _SESSION_NAME}
    if access.external_id:
        extra = {**extra, "ExternalId": access.external_id}
    fetcher = AssumeRoleCredentialFetcher(
        create_client, base.get_credentials(), access.role_arn, extra_args=dict(extra)
    )
    credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
    return _with_credentials(credentials, base.region_name)


def _in_region(session: boto3.Session, region: str) -> boto3.Session:
    """Return a session with the same credentials in another region."""
    return _with_credentials(session.get_credentials(), region)


def _with_credentials(credentials: object, region: str) -> boto3.Session:
    import boto3  # noqa: PLC0415  # heavy
    import botocore.session  # noqa: PLC0415  # heavy

    own = botocore.session.Session()
    own.register_component("credential_provider", _Resolver(credentials))
    return boto3.Session(botocore_session=own, region_name=region)

"""Identity of the caller on AWS, and the credentials of this moment.

Every failure becomes a `CredentialsError` (exit code 4) that says what to do. boto3 is imported
when it is needed: `terralive --help` must not wait for it.
"""

from __future__ import annotations

import base64
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from terralive_cli.configuration.values import GivenRegion
from terralive_cli.network import clock as aws_clock
from terralive_cli.network.endpoint import emulator_url, is_aws
from terralive_stub.broker.leases import Lease
from terralive_stub.errors import ConfigurationError, CredentialsError
from terralive_stub.protocol.token import SECRET_BYTES
from terralive_stub.shared.sigv4 import Credentials
from terralive_terraform.output.refusals import describe_missing

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError

    from terralive_stub.broker.aws import DynamoDBTable

_log: Final = logging.getLogger("terralive.cli")
# Error codes of AWS's services:
# https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
_REJECTED: Final = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "AuthFailure",
    "InvalidAccessKeyId",
    "IncompleteSignature",
}
# The caller may not do it. The protocol of a service decides which code its answers have.
_DENIED: Final = {"AccessDenied", "AccessDeniedException"}
_EXPIRED: Final = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_ATTEMPTS: Final = 2
_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class RegistryLogin:
    """A login to the account's container registry.

    Attributes:
        user: the user's name.
        password: the password; it is good for 12 hours.
        endpoint: the registry's address, with its scheme.
    """

    user: str
    password: str = field(repr=False)
    endpoint: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Answer of `sts:GetCallerIdentity`, and the session that asked.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html

    Attributes:
        account: the account's id.
        arn: the caller's ARN.
        region: the region of the session.
        credentials: returns the credentials of this moment; it raises CredentialsError.
        session: the session; its credentials refresh themselves.
        endpoint_url: where all services answer; None for the addresses of the AWS settings.
        emulator: the address of an API Gateway that is not AWS's own (`AWS_ENDPOINT_URL`); None on
            AWS.
        clock_offset_s: AWS's clock less this machine's, in seconds.
        aliases: the account's alias, after `account_alias` was called and has found one.
    """

    account: str
    arn: str
    region: str
    credentials: Callable[[], Credentials]
    session: boto3.Session
    endpoint_url: str | None
    emulator: str | None = None
    clock_offset_s: float = 0.0
    aliases: list[str] = field(default_factory=list, repr=False, compare=False)

    def registry_login(self) -> RegistryLogin:
        """Return a user and a password for the account's container registry.

        https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html

        Raises:
            CredentialsError: the caller may not ask, or AWS did not answer.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        client: Any = self.session.client("ecr", endpoint_url=self.endpoint_url)
        try:
            data = client.get_authorization_token()["authorizationData"][0]
        except (ClientError, BotoCoreError) as error:
            raise explained(error) from None
        token = base64.b64decode(data["authorizationToken"]).decode()
        user, _, password = token.partition(":")
        return RegistryLogin(user, password, data.get("proxyEndpoint", ""))

    def function_tags(self, name: str) -> dict[str, str]:
        """Return a Lambda function's tags; {} where there is none, or where AWS refuses."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        client = self.session.client("lambda", endpoint_url=self.endpoint_url)
        try:
            return dict(client.get_function(FunctionName=name).get("Tags", {}))
        except (ClientError, BotoCoreError) as error:
            _log.debug("the tags of %s cannot be read: %s", name, type(error).__name__)
            return {}

    def account_alias(self) -> str:
        """Return the account's alias; "" where it has none, or where the caller may not ask.

        https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListAccountAliases.html

        Raises:
            CredentialsError: AWS did not answer.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        # A network may let no request to IAM out. Nobody should wait for that for a minute.
        client = self.session.client("iam", endpoint_url=self.endpoint_url, config=impatient())
        try:
            aliases = client.list_account_aliases()["AccountAliases"]
        except (ClientError, BotoCoreError) as error:
            if not is_denied(error):
                raise explained(error) from None
            _log.debug("the caller may not read the account's alias")
            return ""
        # An account has one alias at most.
        self.aliases[:] = aliases
        return self.known_alias

    @property
    def known_alias(self) -> str:
        """The account's alias as far as it was asked for; "" if it is not known."""
        return "".join(self.aliases)

    @property
    def has_own_endpoint(self) -> bool:
        """Tell whether a sandbox or an emulator answers, which may know one host name only."""
        return self.endpoint_url is not None or self.emulator is not None

    @property
    def is_aws(self) -> bool:
        """Tell whether AWS itself answers, and no emulator does.

        One service may have another address than the rest:
        https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
        """
        return any(self._answers_at_aws(service) for service in ("sts", "lambda", "iam"))

    def _answers_at_aws(self, service: Literal["sts", "lambda", "iam"]) -> bool:
        client = self.session.client(service, endpoint_url=self.endpoint_url)
        return is_aws(client.meta.endpoint_url)

    def lease(self, table_name: str) -> Lease | None:
        """Read the lease of the relay that holds the stage.

        It is None also where the caller may not read it, or where another version has written it
        otherwise: the broker decides in the end.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        try:
            return self.table(table_name).get_lease()
        except (ClientError, BotoCoreError, KeyError, ValueError, TypeError) as error:
            _log.debug("the lease cannot be read: %s", type(error).__name__)
            return None

    def secret(self, table_name: str) -> bytes | None:
        """Read the secret of a stage; None where it has none yet, or where there is no table.

        Raises:
            CredentialsError: `secret-refused`: the caller may not read it.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415  # heavy

        try:
            return self.table(table_name).get_secret()
        except ClientError as error:
            if error.response["Error"].get("Code") == "ResourceNotFoundException":
                return None
            raise _secret_refused("read", "GetItem", table_name, error) from None

    def create_secret(self, table_name: str) -> bytes:
        """Make the secret of a stage, unless it has one, and return it.

        Raises:
            CredentialsError: `secret-refused`: the caller may not read it, or not make it.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415  # heavy

        known = self.secret(table_name)
        if known is not None:
            return known
        try:
            return self.table(table_name).create_secret(os.urandom(SECRET_BYTES))
        except ClientError as error:
            raise _secret_refused("made", "PutItem", table_name, error) from None

    def table(self, name: str) -> DynamoDBTable:
        """Return a stage's table, by its name."""
        from terralive_stub.broker.aws import DynamoDBTable  # noqa: PLC0415  # imports boto3

        client = self.session.client("dynamodb", endpoint_url=self.endpoint_url)
        return DynamoDBTable(client, name)


def identify(
    region: str | None,
    environment: Mapping[str, str] | None = None,
    *,
    clock: Callable[[], float] = time.time,
) -> Caller:
    """Ask AWS (or the sandbox that `environment` points at) who these credentials belong to.

    Args:
        region: the region asked for; None for the one that the AWS configuration names.
        environment: `AWS_ENDPOINT_URL` and keys of a sandbox; None for the user's own AWS settings.
        clock: returns this machine's time, in seconds since the Unix epoch.

    Raises:
        ConfigurationError: no region.
        CredentialsError: no credentials, rejected or expired ones, or AWS cannot be reached.
    """
    from botocore.exceptions import (  # noqa: PLC0415  # heavy
        BotoCoreError,
        ClientError,
    )

    own = environment or {}
    endpoint_url = own.get("AWS_ENDPOINT_URL")
    try:
        session = aws_session(region, own)
        identity = _caller_identity(session, endpoint_url)
        emulator = None
        if environment is None:
            emulator = emulator_url(session, identity.endpoint_url)
    except ClientError as error:
        raise aws_clock.explain(error, clock()) or _client_error(error) from None
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no URL
        raise _botocore_error(error) from None
    _log.debug("the caller is %s in %s", identity.arn, session.region_name)
    return Caller(
        account=identity.account,
        arn=identity.arn,
        region=session.region_name,
        credentials=lambda: _credentials(session),
        session=session,
        endpoint_url=endpoint_url,
        emulator=emulator,
        clock_offset_s=aws_clock.offset(identity.date_header, clock()),
    )


def profile_region() -> GivenRegion | None:
    """Return the region of the AWS profile that is used, if it has one.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html
    """
    import botocore.session  # noqa: PLC0415  # heavy
    from botocore.exceptions import ProfileNotFound  # noqa: PLC0415  # heavy

    session = botocore.session.Session()
    try:
        region = session.get_scoped_config().get("region")
    except ProfileNotFound:
        return None  # `identify` reports it
    if not region:
        return None
    name = session.get_config_variable("profile") or "default"
    return GivenRegion(str(region), f"AWS profile {name}")


def aws_session(region: str | None, own: Mapping[str, str]) -> boto3.Session:
    """Return a session that has a region.

    Raises:
        ConfigurationError: `no-region`.
    """
    import boto3  # noqa: PLC0415  # heavy

    session = boto3.Session(
        aws_access_key_id=own.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=own.get("AWS_SECRET_ACCESS_KEY"),
        region_name=region or own.get("AWS_REGION"),
    )
    if session.region_name is None:
        raise ConfigurationError(
            "no-region",
            "No AWS region is set.",
            hint="Give `--region eu-west-1`, set AWS_REGION, or write "
            '`region = "eu-west-1"` into terralive.toml.',
        )
    return session


@dataclass(frozen=True, slots=True)
class _Identity:
    """Answer of `sts:GetCallerIdentity`, its `Date` header, and the address that it came from."""

    account: str
    arn: str
    date_header: str
    endpoint_url: str


def impatient() -> Config:
    """Return the settings of a client that does not wait long for an answer."""
    from botocore.config import Config  # noqa: PLC0415  # heavy

    return Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    )


def _caller_identity(session: boto3.Session, endpoint_url: str | None) -> _Identity:
    """Call `sts:GetCallerIdentity`."""
    client = session.client("sts", endpoint_url=endpoint_url, config=impatient())
    answer = client.get_caller_identity()
    return _Identity(
        account=answer["Account"],
        arn=answer["Arn"],
        date_header=answer["ResponseMetadata"]["HTTPHeaders"].get("date", ""),
        endpoint_url=client.meta.endpoint_url,
    )


def is_denied(error: Exception) -> bool:
    """Tell whether AWS has refused a call because the caller has no permission for it."""
    from botocore.exceptions import ClientError  # noqa: PLC0415  # heavy

    return isinstance(error, ClientError) and error.response["Error"].get("Code", "") in _DENIED


def explained(error: Exception) -> CredentialsError:
    """Explain an error of AWS or of botocore."""
    from botocore.exceptions import ClientError  # noqa: PLC0415  # heavy

    if isinstance(error, ClientError):
        return _client_error(error)
    return _botocore_error(error)


def _botocore_error(error: Exception) -> CredentialsError:
    """Explain an error that comes from botocore itself, and not from AWS."""
    from botocore.exceptions import (  # noqa: PLC0415  # heavy
        ConnectionError,  # noqa: A004  # botocore's own; EndpointConnectionError is one
        HTTPClientError,
        NoCredentialsError,
        ProfileNotFound,
        SSLError,
    )

    match error:
        case ProfileNotFound():
            return CredentialsError(
                "aws-profile-missing",
                f"{error}.",
                hint="Correct AWS_PROFILE, or add the profile to ~/.aws/config.",
            )
        case NoCredentialsError():
            return CredentialsError(
                "no-credentials",
                "No AWS credentials were found (environment, ~/.aws, SSO, instance).",
                hint="Sign in (`aws sso login`, `aws configure`) or set AWS_PROFILE; `--sandbox` "
                "needs no account.",
            )
        case SSLError():
            return CredentialsError(
                "certificate-untrusted",
                f"The certificate of an AWS endpoint is not trusted: {error}",
                hint="If a proxy of your organisation answers for AWS, set AWS_CA_BUNDLE to a file "
                "with the proxy's certificate authority.",
            )
        case HTTPClientError() | ConnectionError():
            return CredentialsError(
                "aws-unreachable",
                f"AWS could not be reached: {error}",
                hint="Check the network, a proxy (HTTPS_PROXY), AWS_ENDPOINT_URL and the region's "
                "name.",
            )
        case _:
            return CredentialsError(
                "aws-settings",
                f"The AWS settings cannot be used: {error}",
                hint="Check the AWS_* variables of this terminal (AWS_PROFILE, AWS_ENDPOINT_URL); "
                "`aws sts get-caller-identity` must work.",
            )


def _client_error(error: ClientError) -> CredentialsError:
    """Explain an error that AWS has answered with."""
    code = error.response["Error"].get("Code", "")
    if code in _EXPIRED:
        return CredentialsError(
            "credentials-expired",
            f"The AWS credentials have expired ({code}).",
            hint="Sign in again: `aws sso login`.",
        )
    if code in _REJECTED:
        return CredentialsError(
            "credentials-rejected",
            f"AWS does not accept these credentials ({code}).",
            hint="Check AWS_PROFILE and the AWS_* variables of this terminal; `aws sts "
            "get-caller-identity` must work.",
        )
    return CredentialsError(
        "aws-refused",
        f"AWS refused a call: {error}",
        hint=f"{describe_missing(str(error))} docs/PERMISSIONS.md lists what terralive needs. Ask "
        "who runs the account.",
    )


def _secret_refused(
    done: str, action: str, table_name: str, error: ClientError
) -> CredentialsError:
    """Explain that the stage's secret cannot be `read` or `made`."""
    known = _client_error(error)
    if known.reference != "aws-refused":
        return known
    return CredentialsError(
        "secret-refused",
        f"The stage's secret, an item of the table {table_name}, cannot be {done}: {error}",
        hint=f"These credentials need dynamodb:{action} on that table; see docs/PERMISSIONS.md.",
    )


def _credentials(session: boto3.Session) -> Credentials:
    """Return the session's credentials of this moment.

    Raises:
        CredentialsError: `no-credentials`.
    """
    found = session.get_credentials()
    frozen = found.get_frozen_credentials() if found is not None else None
    if frozen is None or frozen.access_key is None or frozen.secret_key is None:
        raise CredentialsError(
            "no-credentials", "The AWS credentials are gone.", hint="Sign in again."
        )
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token or "")

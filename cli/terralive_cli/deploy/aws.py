"""Who the caller is on AWS, and the credentials of this moment: the command line's only use of boto3.

Every failure becomes a `CredentialsError` (exit code 4) that says what to do. boto3 is imported
when it is needed: `terralive --help` must not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from terralive_stub.broker.leases import Lease
from terralive_stub.errors import ConfigurationError, CredentialsError
from terralive_stub.protocol.sigv4 import Credentials

if TYPE_CHECKING:
    import boto3

_REJECTED: Final = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "AuthFailure",
    "InvalidAccessKeyId",
    "IncompleteSignature",
}
_EXPIRED: Final = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_ATTEMPTS: Final = 2
_CONNECT_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Caller:
    """What `sts:GetCallerIdentity` says (https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html)."""

    account: str
    arn: str
    region: str
    credentials: Callable[[], Credentials]
    session: boto3.Session
    endpoint_url: str | None

    def has_function(self, name: str) -> bool:
        """Tell whether a Lambda function exists.

        Raises:
            CredentialsError: the caller may not ask.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415  # heavy

        client = self.session.client("lambda", endpoint_url=self.endpoint_url)
        try:
            client.get_function_configuration(FunctionName=name)
        except client.exceptions.ResourceNotFoundException:
            return False
        except ClientError as error:
            raise _refused(error.response["Error"].get("Code", ""), str(error)) from None
        return True

    def lease(self, table_name: str) -> Lease | None:
        """Read who is connected.

        None also where the caller may not know: the broker decides in the end anyway.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        from terralive_stub.broker.lambda_function import DynamoDBTable  # noqa: PLC0415  # imports boto3

        try:
            client = self.session.client("dynamodb", endpoint_url=self.endpoint_url)
            return DynamoDBTable(client, table_name).get_lease()
        except (ClientError, BotoCoreError):
            return None


def identify(region: str | None, environment: Mapping[str, str] | None = None) -> Caller:
    """Ask AWS (or the sandbox that `environment` points at) who these credentials belong to.

    Args:
        region: the region asked for; None for the one that the AWS configuration names.
        environment: `AWS_ENDPOINT_URL` and keys of a sandbox; None for the user's own AWS settings.

    Raises:
        ConfigurationError: no region.
        CredentialsError: no credentials, rejected or expired ones, or AWS cannot be reached.
    """
    import boto3  # noqa: PLC0415  # heavy
    from botocore.config import Config  # noqa: PLC0415  # heavy
    from botocore.exceptions import (  # noqa: PLC0415  # heavy
        BotoCoreError,
        ClientError,
        ConnectionError,  # noqa: A004  # botocore's own; EndpointConnectionError is one
        HTTPClientError,
        NoCredentialsError,
        ProfileNotFound,
    )

    own = environment or {}
    try:
        session = boto3.Session(
            aws_access_key_id=own.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=own.get("AWS_SECRET_ACCESS_KEY"),
            region_name=region or own.get("AWS_REGION"),
        )
        if session.region_name is None:
            raise ConfigurationError(
                "no-region",
                "No AWS region is set.",
                hint='Give `--region eu-west-1`, set AWS_REGION, or write `region = "eu-west-1"` into terralive.toml.',
            )
        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=10,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        )
        client = session.client("sts", endpoint_url=own.get("AWS_ENDPOINT_URL"), config=config)
        identity = client.get_caller_identity()
    except ProfileNotFound as error:
        raise CredentialsError(
            "aws-profile-missing",
            f"{error}.",
            hint="Correct AWS_PROFILE, or add the profile to ~/.aws/config.",
        ) from None
    except NoCredentialsError:
        raise CredentialsError(
            "no-credentials",
            "No AWS credentials were found (environment, ~/.aws, SSO, instance).",
            hint="Sign in (`aws sso login`, `aws configure`) or set AWS_PROFILE; `--sandbox` needs no account.",
        ) from None
    except (HTTPClientError, ConnectionError) as error:
        raise CredentialsError(
            "aws-unreachable",
            f"AWS could not be reached: {error}",
            hint="Check the network, a proxy (HTTPS_PROXY), AWS_ENDPOINT_URL and the region's name.",
        ) from None
    except ClientError as error:
        raise _refused(error.response["Error"].get("Code", ""), str(error)) from None
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no URL
        raise CredentialsError(
            "aws-settings",
            f"The AWS settings cannot be used: {error}",
            hint="Check the AWS_* variables of this terminal (AWS_PROFILE, AWS_ENDPOINT_URL); `aws sts "
            "get-caller-identity` must work.",
        ) from None
    return Caller(
        account=identity["Account"],
        arn=identity["Arn"],
        region=session.region_name,
        credentials=lambda: _freeze(session),
        session=session,
        endpoint_url=own.get("AWS_ENDPOINT_URL"),
    )


def _refused(code: str, text: str) -> CredentialsError:
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
            hint="Check AWS_PROFILE and the AWS_* variables of this terminal; `aws sts get-caller-identity` must work.",
        )
    return CredentialsError(
        "aws-refused", f"AWS refused the first call: {text}", hint="Ask who runs the account."
    )


def _freeze(session: boto3.Session) -> Credentials:
    found = session.get_credentials()
    frozen = found.get_frozen_credentials() if found is not None else None
    if frozen is None or frozen.access_key is None or frozen.secret_key is None:
        raise CredentialsError(
            "no-credentials", "The AWS credentials are gone.", hint="Sign in again."
        )
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token or "")

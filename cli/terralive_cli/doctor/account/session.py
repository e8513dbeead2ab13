"""Questions about the AWS session of this shell, and AWS's time, which needs no credentials."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from terralive_cli.deploy import aws
from terralive_cli.network.trust import ca_bundle

if TYPE_CHECKING:
    import boto3

# botocore reads it for credentials of the environment.
_EXPIRATION: Final = "AWS_CREDENTIAL_EXPIRATION"
_ANSWER_SECONDS: Final = 10


def session_region(region: str | None) -> str:
    """Return the region of a session.

    Args:
        region: the region that is wanted; None for the one of the AWS profile.

    Raises:
        ConfigurationError: `no-region`.
        CredentialsError: the AWS profile is not there, or the settings cannot be read.
    """
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415  # heavy

    try:
        return str(aws.aws_session(region, {}).region_name)
    except BotoCoreError as error:
        raise aws.explained(error) from None


def expiry(session: boto3.Session, environ: Mapping[str, str]) -> datetime | None:
    """Return when the credentials of a session end; None where they do not tell it.

    The time of credentials that can be renewed is an attribute without a public name in botocore.
    The AWS CLI reads the same one for `aws configure export-credentials`.
    """
    found: Any = session.get_credentials()
    moment = getattr(found, "_expiry_time", None)
    if isinstance(moment, datetime):
        return moment
    if found is None or found.method != "env":
        return None
    with contextlib.suppress(ValueError):
        named = datetime.fromisoformat(environ.get(_EXPIRATION, ""))
        if named.tzinfo is None:
            return named.replace(tzinfo=UTC)
        return named
    return None


def date_header(region: str) -> str:
    """Return the `Date` header of an answer of AWS STS; "" where it has none.

    No request is signed, so that AWS answers whatever the clock and the credentials say.

    Raises:
        CredentialsError: AWS could not be reached.
    """
    from botocore import UNSIGNED  # noqa: PLC0415  # heavy
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415  # heavy
    from botocore.config import Config  # noqa: PLC0415  # heavy
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415  # heavy
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415  # heavy
    from botocore.utils import get_environ_proxies  # noqa: PLC0415  # heavy

    try:
        session = aws.aws_session(region, {})
        client = session.client("sts", config=Config(signature_version=UNSIGNED))
        url = client.meta.endpoint_url
        # botocore takes the file of a bundle, too; its types do not say so.
        bundle: Any = ca_bundle() or True
        http = URLLib3Session(
            verify=bundle,
            proxies=get_environ_proxies(url),
            timeout=_ANSWER_SECONDS,
        )
        answer = http.send(AWSRequest("GET", url).prepare())
    except (BotoCoreError, ValueError) as error:
        raise aws.explained(error) from None
    return str(answer.headers.get("date", ""))

"""The region, the caller on AWS, the clock and the limits of the account.

`Account` holds what the checks share. No check changes anything in it but `check_credentials`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import aws
from terralive_cli.deploy.target import known_regions, running_sandbox, sandbox_file
from terralive_cli.doctor.account import session
from terralive_cli.doctor.findings import Finding, Outcome, SkippedError, warning
from terralive_cli.joining.concurrency import Concurrency, low_limit
from terralive_cli.joining.inventory import AwsInventory
from terralive_cli.network import clock as aws_clock
from terralive_relay.connection.clock import clock_warning
from terralive_sandbox.info import SandboxInfo, attach, environment
from terralive_stub.errors import ConfigurationError

# A start with a first deployment takes some minutes.
_SOON_SECONDS: Final = 600.0
# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
_LOW_REQUESTS_PER_SECOND: Final = 1000.0
_WHY_CONCURRENCY: Final = (
    "Every invocation of a live function occupies one execution while it runs here, and the broker "
    "needs one for every message."
)


@dataclass(slots=True)
class Account:
    """The account and the region that the checks look at.

    Attributes:
        config: the configuration.
        sandbox: the running sandbox; None on AWS, and where none runs.
        region: the region; "" before `check_region`, and where none is known.
        caller: the caller; None before `check_credentials`, and where AWS does not know it.
    """

    config: Config
    sandbox: SandboxInfo | None = None
    region: str = ""
    caller: aws.Caller | None = field(default=None, repr=False)

    def known_caller(self) -> aws.Caller:
        """Return the caller.

        Raises:
            SkippedError: AWS does not know it.
        """
        if self.caller is None:
            raise SkippedError("needs credentials")
        return self.caller

    def known_region(self) -> str:
        """Return the region.

        Raises:
            SkippedError: none is known.
        """
        if not self.region:
            raise SkippedError("needs a region")
        return self.region


def check_region(account: Account) -> Outcome:
    """Find the region, and compare all that the user, the shell and the provider name.

    Raises:
        ConfigurationError: `no-region`, `no-sandbox`, `region-differs`.
    """
    config = account.config
    regions = known_regions(config)
    if config.sandbox:
        sandbox = attach(sandbox_file(config.project))
        if sandbox is None:
            raise ConfigurationError(
                "no-sandbox",
                "No sandbox runs for this project.",
                hint="Start one in another terminal: `terralive sandbox`. (`terralive start "
                "--sandbox` starts one by itself.)",
            )
        account.sandbox = sandbox
        account.region = sandbox.region
        regions.require_same_in_sandbox(running_sandbox(sandbox))
        return Outcome(f"{sandbox.region}, in the sandbox")
    account.region = session.session_region(regions.wanted(config.region))
    regions.require_same_on_aws(account.region, aws.profile_region())
    return Outcome(account.region)


def check_credentials(account: Account, now: float) -> Outcome:
    """Ask AWS who the caller is.

    Args:
        account: gets the caller.
        now: seconds since the Unix epoch.

    Raises:
        CredentialsError: see `aws.identify`.
        SkippedError: there is no region.
    """
    region = account.known_region()
    own: Mapping[str, str] | None = None
    if account.sandbox is not None:
        own = environment(account.sandbox)
    elif account.config.sandbox:
        raise SkippedError("no sandbox runs")
    found = aws.identify(region, own)
    account.caller = found
    expires = session.expiry(found.session, os.environ)
    return credentials_outcome(found.arn, found.account, expires, now)


def credentials_outcome(arn: str, account: str, expires: datetime | None, now: float) -> Outcome:
    """Return the result for a caller that AWS knows.

    Args:
        arn: the caller's ARN.
        account: the account's id.
        expires: when the credentials end; None where they do not, or do not tell it.
        now: seconds since the Unix epoch.
    """
    text = f"{arn} in account {account}"
    if expires is None:
        return Outcome(text)
    text = f"{text}, until {expires.astimezone():%Y-%m-%d %H:%M}"
    left = expires.timestamp() - now
    if left > _SOON_SECONDS:
        return Outcome(text)
    finding = warning(
        "credentials-expire-soon",
        f"The credentials expire in {max(0, round(left / 60))} minutes.",
        why="A deployment takes minutes, and one that loses its credentials stays unfinished.",
        fix="Sign in again, for example by `aws sso login`, unless your tools renew them.",
    )
    return Outcome(text, (finding,))


def check_clock(account: Account, now: float) -> Outcome:
    """Compare this machine's clock with AWS's.

    Args:
        account: the account. AWS tells its time to everybody, also without credentials.
        now: seconds since the Unix epoch.

    Raises:
        CredentialsError: AWS could not be reached.
        SkippedError: there is no region.
    """
    if account.caller is not None:
        return clock_outcome(account.caller.clock_offset_s)
    if account.config.sandbox:
        raise SkippedError("no sandbox runs")
    header = session.date_header(account.known_region())
    return clock_outcome(aws_clock.offset(header, now))


def clock_outcome(offset_s: float) -> Outcome:
    """Return the result for AWS's clock less this machine's, in seconds."""
    text = f"{abs(offset_s):.0f} s from AWS's clock"
    warned = clock_warning(offset_s)
    if warned is None:
        return Outcome(text)
    finding = warning(
        warned.reference,
        warned.message,
        why="AWS refuses a request whose time differs by more than five minutes. terralive itself "
        "uses AWS's time.",
        fix="Have the system set its clock: `timedatectl set-ntp true`; on macOS "
        "`sudo sntp -sS time.apple.com`.",
    )
    return Outcome(text, (finding,))


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of an account in a region; None for what AWS does not tell.

    Attributes:
        concurrency: the concurrency of Lambda.
        requests_per_second: requests that all APIs together accept.
    """

    concurrency: Concurrency | None = None
    requests_per_second: float | None = None


def check_limits(account: Account) -> Outcome:
    """Read the limits of Lambda and of API Gateway.

    Raises:
        SkippedError: there are no credentials.
    """
    known = account.known_caller()
    limits = Limits(AwsInventory(known).concurrency(), _requests_per_second(known))
    return limits_outcome(limits, known.region)


def limits_outcome(limits: Limits, region: str) -> Outcome:
    """Return the result for the limits of a region."""
    findings: list[Finding] = []
    known: list[str] = []
    concurrency = limits.concurrency
    if concurrency is not None:
        known.append(
            f"Lambda: {concurrency.limit} concurrent executions, {concurrency.unreserved} of them "
            "not reserved"
        )
        low = low_limit(concurrency, region)
        if low is not None:
            findings.append(
                warning(
                    low.reference,
                    f"Only {concurrency.unreserved} of {concurrency.limit} concurrent executions "
                    "are not reserved.",
                    why=_WHY_CONCURRENCY,
                    fix="Ask AWS for a higher quota of concurrent executions (Service Quotas, AWS "
                    "Lambda).",
                )
            )
    if limits.requests_per_second is not None:
        known.append(f"API Gateway: {limits.requests_per_second:.0f} requests per second")
        if limits.requests_per_second < _LOW_REQUESTS_PER_SECOND:
            findings.append(
                warning(
                    "api-gateway-throttle-low",
                    f"All APIs of the account together accept {limits.requests_per_second:.0f} "
                    "requests per second.",
                    why="Every message between a stub and this machine is a request, four for "
                    "each invocation. What is over the limit is sent again, later.",
                    fix="Ask AWS for a higher throttle quota (Service Quotas, Amazon API Gateway).",
                )
            )
    if not known:
        return Outcome(
            "AWS does not tell them, or the caller may not ask (lambda:GetAccountSettings, "
            "apigateway:GET on /account)",
            is_skipped=True,
        )
    return Outcome("; ".join(known), tuple(findings))


def _requests_per_second(known: aws.Caller) -> float | None:
    """Return the throttle of all APIs of the account; None where it is not told.

    https://docs.aws.amazon.com/apigateway/latest/api/API_GetAccount.html
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    client: Any = known.session.client(
        "apigateway", endpoint_url=known.endpoint_url, config=aws.impatient()
    )
    try:
        throttle = client.get_account().get("throttleSettings") or {}
    except (ClientError, BotoCoreError):
        return None
    limit = throttle.get("rateLimit")
    if limit is None:
        return None
    return float(limit)

"""The difference between AWS's clock and this machine's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from terralive_relay.connection.clock import describe_difference
from terralive_stub.errors import CredentialsError
from terralive_stub.protocol.token import CLOCK_DIFFERENCE_SECONDS
from terralive_stub.shared.timestamps import parse_date_header

if TYPE_CHECKING:
    from botocore.exceptions import ClientError


def offset(date_header: str, now: float) -> float:
    """Return AWS's clock less this machine's, in seconds; 0 where the answer does not tell it."""
    moment = parse_date_header(date_header)
    if moment is None:
        return 0.0
    return moment - now


def explain(error: ClientError, now: float) -> CredentialsError | None:
    """Explain a refusal by the difference of the clocks; None where it is not the reason.

    AWS refuses a signature whose time differs by more than five minutes:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
    """
    headers = error.response["ResponseMetadata"].get("HTTPHeaders", {})
    offset_s = offset(headers.get("date", ""), now)
    if abs(offset_s) < CLOCK_DIFFERENCE_SECONDS:
        return None
    return CredentialsError(
        "clock-differs",
        f"AWS refused the first call ({error.response['Error'].get('Code', '')}): the clock of this"
        f" machine is {describe_difference(offset_s)}, and AWS accepts five minutes.",
        hint="Set the clock: have the system take its time from the network (`timedatectl set-ntp"
        " true`; on macOS `sudo sntp -sS time.apple.com`).",
    )

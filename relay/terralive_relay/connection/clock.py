"""The warning about a clock that differs from AWS's. Pure.

AWS refuses a request whose time differs by more than five minutes; S3 allows 15:
https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html
"""

from __future__ import annotations

from typing import Final

from terralive_relay.events import Warned

WARNING_SECONDS: Final = 60.0
_MINUTE: Final = 60.0


def describe_difference(offset_s: float) -> str:
    """Return, for example, `7.0 minutes behind AWS's clock`.

    Args:
        offset_s: AWS's clock less this machine's, in seconds.
    """
    direction = "behind"
    if offset_s < 0:
        direction = "ahead of"
    return f"{abs(offset_s) / _MINUTE:.1f} minutes {direction} AWS's clock"


def clock_warning(offset_s: float) -> Warned | None:
    """Return the warning about the difference between the clocks; None where it is small.

    Args:
        offset_s: AWS's clock less this machine's, in seconds.
    """
    if abs(offset_s) < WARNING_SECONDS:
        return None
    return Warned(
        "clock-differs",
        f"The clock of this machine is {describe_difference(offset_s)}. terralive uses AWS's time;"
        " other programs may be refused by AWS. Have the system set its clock from the network.",
    )

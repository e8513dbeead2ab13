"""ARNs: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The number of fields before the resource.
_FIELDS: Final = 5


@dataclass(frozen=True, slots=True)
class Place:
    """An AWS account and a region in it; "" for what an ARN does not name."""

    account: str = ""
    region: str = ""


def place_of(arn: str) -> Place:
    """Return the account and the region that an ARN names; an empty place for another text."""
    match arn.split(":", _FIELDS):
        case ["arn", _, _, region, account, _]:
            return Place(account, region)
        case _:
            return Place()


def partition_of(arn: str) -> str:
    """Return the partition that an ARN names (`aws`, `aws-cn`, …); "" for another text."""
    match arn.split(":", _FIELDS):
        case ["arn", partition, _, _, _, _]:
            return partition
        case _:
            return ""

"""Places: an AWS account and a region in it, as ARNs name them. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """An AWS account, and one of its regions.

    Attributes:
        account: the account's id.
        region: the region's name.
    """

    account: str
    region: str

    @classmethod
    def of(cls, arn: str) -> Place:
        """Return the place of a resource. Parts that its ARN leaves out (S3, IAM) are empty."""
        fields = [*arn.split(":", 5), *[""] * 6]
        return cls(account=fields[4], region=fields[3])

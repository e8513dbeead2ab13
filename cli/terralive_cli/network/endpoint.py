"""AWS's own endpoints, and those of emulators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import boto3

# The domains of endpoints in all partitions of AWS, as botocore lists them:
# https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json
_AWS_DOMAINS: Final = (
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".amazonaws.eu",
    ".api.amazonwebservices.com.cn",
    ".api.amazonwebservices.eu",
    ".api.aws",
    ".api.aws.hci.ic.gov",
    ".api.aws.ic.gov",
    ".api.aws.scloud",
    ".api.cloud-aws.adc-e.uk",
    ".c2s.ic.gov",
    ".cloud.adc-e.uk",
    ".csp.hci.ic.gov",
    ".sc2s.sgov.gov",
)


def is_aws(url: str) -> bool:
    """Tell whether an address is one of AWS's own."""
    host = urlsplit(url).hostname or ""
    return host.endswith(_AWS_DOMAINS)


def emulator_url(session: boto3.Session, sts_url: str) -> str | None:
    """Return the address of an API Gateway that is not AWS's own; None on AWS.

    A private address of AWS's (an interface endpoint) is one of AWS's own.
    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html

    Args:
        session: the session.
        sts_url: the address of STS. On AWS it spares a client of API Gateway.
    """
    if is_aws(sts_url):
        return None
    url = session.client("apigatewayv2").meta.endpoint_url
    if is_aws(url):
        return None
    return url

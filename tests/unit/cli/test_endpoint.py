"""AWS's own addresses are told from those of emulators."""

from __future__ import annotations

import boto3
import pytest

from terralive_cli.deploy.aws import Caller
from terralive_cli.network.endpoint import is_aws

# The domains of all partitions, and of their dual-stack endpoints:
# https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json
DOMAINS = (
    *("amazonaws.com", "amazonaws.com.cn", "amazonaws.eu"),
    *("api.aws", "api.amazonwebservices.com.cn", "api.amazonwebservices.eu"),
    *("c2s.ic.gov", "sc2s.sgov.gov", "cloud.adc-e.uk", "csp.hci.ic.gov"),
    *("api.aws.ic.gov", "api.aws.scloud", "api.cloud-aws.adc-e.uk", "api.aws.hci.ic.gov"),
)


def is_caller_of_aws(url: str) -> bool:
    return Caller(
        account="123456789012",
        arn="arn:aws:iam::123456789012:user/ana",
        region="eu-west-1",
        credentials=lambda: pytest.fail("nobody asks for credentials"),
        session=boto3.Session("AKIA", "secret", region_name="eu-west-1"),
        endpoint_url=url,
    ).is_aws


@pytest.mark.parametrize("domain", DOMAINS)
def test_an_address_in_any_partition_is_one_of_aws(domain: str) -> None:
    url = f"https://lambda.some-region-1.{domain}"
    assert is_aws(url)
    assert is_caller_of_aws(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4566",
        "https://localhost.localstack.cloud:4566",
        "https://amazonaws.com.example.com",
        "https://myamazonaws.com",
    ],
)
def test_an_address_of_anybody_else_is_not(url: str) -> None:
    assert not is_aws(url)
    assert not is_caller_of_aws(url)

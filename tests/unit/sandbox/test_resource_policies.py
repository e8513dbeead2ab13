"""Resources are looked up by their ARNs, on any thread: nothing of moto's is created thereby."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from moto.awslambda.models import lambda_backends
from moto.core.base_backend import BackendDict
from moto.dynamodb.models import dynamodb_backends
from moto.iam.models import iam_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from terralive_sandbox.access.identity import role_documents
from terralive_sandbox.access.resource_policies import find_policy
from terralive_sandbox.triggers.event_source_mappings.sources import find_queue, find_shard

# It exists for every service, so that only the region is unknown.
ACCOUNT = "800000000000"
SERVICES: Mapping[str, BackendDict[Any]] = {
    "lambda": lambda_backends,
    "sns": sns_backends,
    "sqs": sqs_backends,
    "dynamodb": dynamodb_backends,
}


def regions(service: str) -> set[str]:
    """The regions in which moto has state of a service."""
    return set(SERVICES[service][ACCOUNT])


@pytest.mark.parametrize("region", ["us-esat-1", "eu-west-1", "", "global"])
@pytest.mark.parametrize(
    "resource", ["sns:{}:orders", "sqs:{}:orders", "lambda:{}:function:orders"]
)
def test_there_is_no_policy_in_a_region_without_the_resource(resource: str, region: str) -> None:
    service = resource.partition(":")[0]
    assert regions(service) == set()
    assert find_policy(f"arn:aws:{resource.format(f'{region}:{ACCOUNT}')}") is None
    assert regions(service) == set()


@pytest.mark.parametrize("region", ["us-esat-1", "eu-west-1"])
def test_there_is_no_event_source_in_a_region_without_the_resource(region: str) -> None:
    assert (regions("sqs"), regions("dynamodb")) == (set(), set())
    assert find_queue(f"arn:aws:sqs:{region}:{ACCOUNT}:orders") is None
    assert find_shard(f"arn:aws:dynamodb:{region}:{ACCOUNT}:table/orders/stream/label") is None
    assert (regions("sqs"), regions("dynamodb")) == (set(), set())


def test_a_role_of_an_account_that_does_not_exist_has_no_policies() -> None:
    assert role_documents("arn:aws:iam::800000000001:role/app") == ()
    assert "800000000001" not in iam_backends


def test_a_resource_is_found_in_its_own_region_only() -> None:
    account = "800000000002"
    topic = str(sns_backends[account]["eu-west-1"].create_topic("orders").arn)
    found = find_policy(topic)
    assert found is not None
    assert found.owner == account
    assert find_policy(topic.replace("eu-west-1", "eu-west-2")) is None

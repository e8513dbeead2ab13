"""Policies of resources, looked up in moto: functions, queues, topics and buckets.

https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_identity-vs-resource.html
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from moto.awslambda.models import lambda_backends
from moto.core.exceptions import JsonRESTError
from moto.s3.models import s3_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from terralive_sandbox.control.moto_state import backend_of
from terralive_sandbox.places import Place


@dataclass(frozen=True, slots=True)
class ResourcePolicy:
    """The policy of a resource that exists.

    Attributes:
        owner: the account that the resource belongs to.
        document: the policy as JSON text; `{}` where the resource has none.
    """

    owner: str
    document: str


def find_policy(arn: str) -> ResourcePolicy | None:
    """Return the policy of a resource.

    It is None if there is no such resource, or if the sandbox does not evaluate the policies of its
    service.
    """
    finder = _FINDERS.get(arn.split(":", 3)[2] if arn.startswith("arn:") else "")
    if finder is None:
        return None
    document = finder(arn)
    if document is None:
        return None
    owner = Place.of(arn).account or _owner_of_bucket(arn)
    return ResourcePolicy(owner, document)


def _policy_of_function(arn: str) -> str | None:
    backend = backend_of(lambda_backends, Place.of(arn))
    if backend is None:
        return None
    name, _, qualifier = arn.partition(":function:")[2].partition(":")
    # It fails if there is no such function, or no such version or alias.
    with contextlib.suppress(JsonRESTError):
        function = backend.get_function(name, qualifier or None)
        return json.dumps({"Statement": function.policy.statements})
    return None


def _policy_of_queue(arn: str) -> str | None:
    backend = backend_of(sqs_backends, Place.of(arn))
    if backend is None:
        return None
    queue = backend.queues.get(arn.rpartition(":")[2])
    if queue is None:
        return None
    policy: object = queue.policy
    # In moto it is the text that was set, or an object that AddPermission has made.
    if isinstance(policy, str) and policy:
        return policy
    return json.dumps(policy or {})


def _policy_of_topic(arn: str) -> str | None:
    backend = backend_of(sns_backends, Place.of(arn))
    if backend is None:
        return None
    topic = backend.topics.get(arn)
    if topic is None:
        return None
    return topic.policy or "{}"


def _policy_of_bucket(arn: str) -> str | None:
    name = arn.rpartition(":")[2].partition("/")[0]
    backend = backend_of(s3_backends, Place(_owner_of_bucket(arn), "aws"))
    if backend is None:
        return None
    bucket = backend.buckets.get(name)
    if bucket is None:
        return None
    return (bucket.policy or b"{}").decode()


def _owner_of_bucket(arn: str) -> str:
    """Return the account of a bucket, whose ARN does not tell it; "" if there is no such bucket."""
    name = arn.rpartition(":")[2].partition("/")[0]
    _, account = s3_backends.bucket_accounts.get(name, ("", ""))
    return str(account)


_Finder: TypeAlias = Callable[[str], "str | None"]
# Service in the ARN -> the policy of a resource as JSON text; None if it does not exist.
_FINDERS: Final[Mapping[str, _Finder]] = {
    "lambda": _policy_of_function,
    "s3": _policy_of_bucket,
    "sns": _policy_of_topic,
    "sqs": _policy_of_queue,
}

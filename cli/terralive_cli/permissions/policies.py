"""The documented IAM policies, and the same policies for one project. Pure.

The files beside this module are the source: a test compares docs/PERMISSIONS.md with them.
"""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from terralive_stub.shared.json_documents import Json
from terralive_terraform.debug_stack.settings import names_pattern

# The policies in the order of the page, and what each is for.
PURPOSES: Final[Mapping[str, str]] = {
    "developer": "a developer, who creates, uses and removes debug stacks",
    "joiner": "a developer who only joins debug stacks that exist",
    "cleanup": "a job that removes debug stacks",
    "state-bucket": 'everybody who runs terralive with [backend] type = "s3", beside the others',
}
_ANY: Final = "*"
# The names in the documented policies that stand for those of a project.
_PREFIX: Final = "terralive-"
_BUCKET: Final = "acme-terraform-states"
_KEYS: Final = "terralive/"
# Partitions beside `aws`, by the beginning of their regions' names.
_PARTITIONS: Final = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
_ARN: Final = re.compile(
    r"arn:aws:(?P<service>[a-z0-9-]+):(?P<region>[^:]*):(?P<account>[^:]*):(?P<resource>.+)"
)


@dataclass(frozen=True, slots=True)
class PolicyScope:
    """The values of a project that a policy is narrowed to; `*` for one that is not known.

    Attributes:
        account: the AWS account's id.
        region: the region.
        app: the app's name.
        stage: the stage's name, or the beginning of several with a `*` (`pr-*`).
        name_prefix: the beginning of all names (`[debug_stack] name_prefix`).
        role_path: the path of the broker's role (`[debug_stack] role_path`).
        bucket: the bucket of Terraform states; "" where it is not known.
        keys: the beginning of the states' keys in it.
    """

    account: str = _ANY
    region: str = _ANY
    app: str = _ANY
    stage: str = _ANY
    name_prefix: str = "terralive"
    role_path: str = "/"
    bucket: str = ""
    keys: str = ""


def documented(name: str) -> dict[str, Json]:
    """Return a policy as docs/PERMISSIONS.md has it."""
    text = importlib.resources.files(__package__).joinpath(f"{name}.json").read_text("utf-8")
    return cast("dict[str, Json]", json.loads(text))


def policy_of(name: str, scope: PolicyScope) -> dict[str, Json]:
    """Return a policy with the values of a project in its ARNs."""
    return cast("dict[str, Json]", _narrowed(documented(name), scope))


def _narrowed(value: Json, scope: PolicyScope) -> Json:
    if isinstance(value, dict):
        return {key: _narrowed(item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [_narrowed(item, scope) for item in value]
    if isinstance(value, str):
        arn = _ARN.fullmatch(value)
        if arn is not None:
            return _narrowed_arn(arn, scope)
    return value


def _narrowed_arn(arn: re.Match[str], scope: PolicyScope) -> str:
    service, region, account = arn["service"], arn["region"], arn["account"]
    if region == _ANY:
        region = scope.region
    if account == _ANY:
        account = scope.account
    resource = _resource(service, arn["resource"], scope)
    return f"arn:{_partition(scope.region)}:{service}:{region}:{account}:{resource}"


def _partition(region: str) -> str:
    """Return the partition of a region.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
    """
    for beginning, partition in _PARTITIONS.items():
        if region.startswith(beginning):
            return partition
    return "aws"


def _resource(service: str, resource: str, scope: PolicyScope) -> str:
    if resource.startswith(_BUCKET):
        return _state_bucket(resource, scope)
    names = _names(scope)
    if service == "s3":
        # The name of a bucket is in lower case (`DebugStackSettings.stub_bucket`).
        names = re.sub(r"[^a-z0-9*]+", "-", names.lower())
    if resource.startswith("role/"):
        names = f"{scope.role_path.strip('/')}/{names}".lstrip("/")
    return resource.replace(f"{_PREFIX}*", names)


def _names(scope: PolicyScope) -> str:
    """Return a pattern for the names of resources (`DebugStackSettings.name`)."""
    if scope.app == _ANY:
        return names_pattern(scope.name_prefix, "")
    return names_pattern(scope.name_prefix, scope.app, scope.stage.rstrip(_ANY))


def _state_bucket(resource: str, scope: PolicyScope) -> str:
    if not scope.bucket:
        return resource
    keys = scope.keys
    if not keys:
        keys = _KEYS
    return resource.replace(_BUCKET, scope.bucket).replace(f"/{_KEYS}", f"/{keys}")

"""The settings of a debug stack, and the names of everything that terralive creates.

Plain values: the command line decides with them whether to synthesise, without starting jsii.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from terralive_stub.broker.identity_source import IdentitySource
from terralive_stub.shared.json_documents import Json
from terralive_terraform.artifacts import STUB_IMAGE

BROKER_ZIP: Final = "broker.zip"
# Name -> Terraform type: the variables in which debug stacks differ. Their values:
# `DebugStackSettings.variables`.
VARIABLES: Final = {
    "region": "string",
    "name": "string",
    "tags": "map(string)",
    "websocket_url": "string",
    "management_endpoint": "string",
    "identity_source": "string",
    "permissions_boundary": "string",
    "role_path": "string",
    "kms_key": "string",
    "log_retention_days": "number",
    "throttle_rate": "number",
    "throttle_burst": "number",
    "broker_concurrency": "number",
    "stub_bucket": "string",
    "s3_path_style": "bool",
    "image_repository": "string",
    "image_policy": "string",
}
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html (role names) and
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html (function names): 64
# characters
NAME_CHARACTERS: Final = 64
# The longest part behind a debug stack's name, with its hyphen: `-connections`.
_PART_CHARACTERS: Final = 12
_DIGEST_CHARACTERS: Final = 8
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET_CHARACTERS: Final = 63
_BUCKET_DIGEST_CHARACTERS: Final = 12
# The provider's value for a function without reserved concurrency:
# https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lambda_function
_UNRESERVED: Final = -1


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Patterns of the WebSocket APIs' addresses; the defaults are what API Gateway says of them.

    `{url}` is the API's `api_endpoint`, with the scheme `wss` or `ws` in `websocket` and `https` or
    `http` in `management`; `{api}` is its id, and `{stage}` the stage's name.
    """

    websocket: str = "{url}/{stage}"
    management: str = "{url}/{stage}"


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """A Terraform backend: its type (`s3`) and the arguments of its block."""

    type: str
    config: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImageReaders:
    """The accounts whose functions may be made of the stub's image.

    Attributes:
        partition: the partition of all accounts (`aws`).
        account: the account of the debug stack.
        others: further accounts.
    """

    partition: str = "aws"
    account: str = ""
    others: tuple[str, ...] = ()

    def policy(self, region: str) -> dict[str, Json]:
        """Return the policy of the repository.

        Lambda reads an image when it makes a function of it, and again later. The account of a
        function that is not the repository's needs the permission, too:
        https://docs.aws.amazon.com/lambda/latest/dg/images-create.html#gettingstarted-images-permissions
        """
        actions: list[Json] = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        functions: list[Json] = [
            f"arn:{self.partition}:lambda:{region}:{account}:function:*"
            for account in (self.account, *self.others)
        ]
        statements: list[Json] = [
            {
                "Sid": "Lambda",
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": actions,
                "Condition": {"StringLike": {"aws:sourceArn": functions}},
            }
        ]
        if self.others:
            roots: list[Json] = [
                f"arn:{self.partition}:iam::{account}:root" for account in self.others
            ]
            statements.append(
                {
                    "Sid": "Accounts",
                    "Effect": "Allow",
                    "Principal": {"AWS": roots},
                    "Action": actions,
                }
            )
        return {"Version": "2012-10-17", "Statement": statements}


@dataclass(frozen=True, slots=True)
class DebugStackSettings:
    """The settings of one debug stack.

    Attributes:
        app: the app's name.
        stage: the stage's name.
        region: the AWS region.
        owner: the user who deployed it first. Later values change nothing.
        created: the ISO date of the first deployment. Later values change nothing.
        version: terralive's version.
        endpoints: the addresses of the WebSocket APIs, if they are not AWS's own.
        identity_source: the source of a relay's identity at the broker (`IdentitySource`).
        s3_path_style: whether the name of a bucket is a part of its URL's path. An emulator may
            have no name in the DNS for each bucket.
        permissions_boundary: the ARN of a policy for the broker's role.
        role_path: the path of the broker's role.
        name_prefix: the beginning of every name.
        tags: the organisation's tags, beside terralive's own.
        kms_key: the ARN of a key for the table, the bucket, the repository, and for the logs and
            variables of the broker.
        log_retention_days: the retention of the broker's log group.
        throttle_rate: the messages a second that each API accepts.
        throttle_burst: the messages at once that each API accepts.
        broker_concurrency: the broker's reserved concurrency; None for no reservation.
        has_images: whether there is a repository for the stub's image.
        image_readers: whose functions may be made of the stub's image.
        backend: the backend of the state; None for a file beside the configuration.
        source: the project that it is deployed from.
        account: the AWS account, for the name of the bucket.
    """

    app: str
    stage: str
    region: str
    owner: str
    created: str
    version: str
    endpoints: Endpoints = field(default_factory=Endpoints)
    identity_source: str = IdentitySource.IAM
    s3_path_style: bool = False
    permissions_boundary: str | None = None
    role_path: str = "/"
    name_prefix: str = "terralive"
    tags: Mapping[str, str] = field(default_factory=dict)
    kms_key: str | None = None
    log_retention_days: int = 7
    throttle_rate: int = 200
    throttle_burst: int = 200
    broker_concurrency: int | None = None
    backend: BackendSettings | None = None
    source: str = ""
    has_images: bool = False
    image_readers: ImageReaders = field(default_factory=ImageReaders)
    account: str = ""

    @classmethod
    def for_names(cls, app: str, stage: str, name_prefix: str) -> Self:
        """Return settings that serve only for the names of a debug stack's resources (`name`).

        Args:
            app: the app's name.
            stage: the stage's name.
            name_prefix: the beginning of every name.
        """
        return cls(
            app=app,
            stage=stage,
            region="",
            owner="",
            created="",
            version="",
            name_prefix=name_prefix,
        )

    def name(self, part: str = "") -> str:
        """Return the name of one resource: `terralive-orders-dev-ana-broker`."""
        limit = NAME_CHARACTERS - _PART_CHARACTERS
        name = resource_name(self.name_prefix, self.app, self.stage, limit=limit)
        if part:
            return f"{name}-{part}"
        return name

    def image_repository(self) -> str:
        """Return the name of the repository for the stub's image.

        ECR takes lower case only, and single separators:
        https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
        """
        wanted = self.name()
        folder = _lower_case(wanted)
        if folder != wanted:
            folder = f"{folder}-{_digest(wanted)}"
        return f"{folder}/{STUB_IMAGE}"

    def stub_bucket(self) -> str:
        """Return the name of the bucket of the stub's zip.

        A bucket's name is unique among all accounts, so it ends with a digest of account, region
        and stage: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
        """
        wanted = self.name()
        digest = _digest(self.account, self.region, wanted, characters=_BUCKET_DIGEST_CHARACTERS)
        end = f"-stub-{digest}"
        beginning = _lower_case(wanted)[: _BUCKET_CHARACTERS - len(end)].rstrip("-")
        return f"{beginning}{end}"

    def all_tags(self) -> dict[str, str]:
        """Return the organisation's tags and terralive's own."""
        return {
            **self.tags,
            "terralive:app": self.app,
            "terralive:stage": self.stage,
            "terralive:owner": self.owner,
            "terralive:created": self.created,
            "terralive:version": self.version,
            "terralive:source": self.source,
        }

    def variables(self) -> dict[str, Json]:
        """Return the values of Terraform's variables, as `terraform.tfvars.json` has them.

        A variable that is null leaves its argument out.
        """
        concurrency = self.broker_concurrency
        if concurrency is None:
            concurrency = _UNRESERVED
        repository, image_policy = None, None
        if self.has_images:
            repository = self.image_repository()
            image_policy = json.dumps(self.image_readers.policy(self.region), sort_keys=True)
        return {
            "region": self.region,
            "name": self.name(),
            "tags": dict(self.all_tags()),
            "websocket_url": self.endpoints.websocket,
            "management_endpoint": self.endpoints.management,
            "identity_source": self.identity_source,
            "permissions_boundary": self.permissions_boundary,
            "role_path": self.role_path,
            "kms_key": self.kms_key,
            "log_retention_days": self.log_retention_days,
            "throttle_rate": self.throttle_rate,
            "throttle_burst": self.throttle_burst,
            "broker_concurrency": concurrency,
            "stub_bucket": self.stub_bucket(),
            "s3_path_style": self.s3_path_style,
            "image_repository": repository,
            "image_policy": image_policy,
        }


def resource_name(*parts: str, limit: int = NAME_CHARACTERS) -> str:
    """Join parts into a name that Lambda, IAM and DynamoDB accept, of at most `limit` characters.

    Where characters had to be changed or cut, the name ends with a digest of the parts.
    """
    wanted = "-".join(parts)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted)
    if name == wanted and len(name) <= limit:
        return name
    return f"{name[: limit - _DIGEST_CHARACTERS - 1]}-{_digest(*parts)}"


def names_pattern(*parts: str) -> str:
    """Return a pattern for the names of all debug stacks whose parts begin like these.

    The last part may be the beginning of a stage's name. A long name is cut, and the pattern with
    it (see `resource_name`).
    """
    beginning = re.sub(r"[^A-Za-z0-9_-]+", "-", "-".join(parts))
    kept = NAME_CHARACTERS - _PART_CHARACTERS - _DIGEST_CHARACTERS - 1
    return f"{beginning[:kept]}*"


def _lower_case(name: str) -> str:
    """Return a name of lower-case letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _digest(*parts: str, characters: int = _DIGEST_CHARACTERS) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:characters]

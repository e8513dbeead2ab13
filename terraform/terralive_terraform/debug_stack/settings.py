"""The settings of a debug stack, and the names of everything that terralive creates.

Plain values: the command line decides with them whether to synthesise, without starting jsii.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from terralive_stub.broker.leases import ApiStage
from terralive_stub.shared.json_documents import Json

STUB_STAGE: Final = str(ApiStage.STUB)
RELAY_STAGE: Final = str(ApiStage.RELAY)
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html (role names) and
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html (function names): 64
# characters
NAME_CHARACTERS: Final = 64
_DIGEST_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Patterns of addresses, with `{api}` and `{stage}` in them. None: AWS's own addresses."""

    websocket: str | None = None
    management: str | None = None


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """A Terraform backend: its type (`s3`) and the arguments of its block."""

    type: str
    config: Mapping[str, Json] = field(default_factory=dict)


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
        endpoints: the addresses of the WebSocket API, if they are not AWS's own.
        permissions_boundary: the ARN of a policy for the broker's role.
        role_path: the path of the broker's role.
        name_prefix: the beginning of every name.
        tags: the organisation's tags, beside terralive's own.
        kms_key: the ARN of a key for table, logs and environment variables.
        log_retention_days: the retention of the broker's log group.
        backend: the backend of the state; None for a file beside the synthesised stack.
    """

    app: str
    stage: str
    region: str
    owner: str
    created: str
    version: str
    endpoints: Endpoints = field(default_factory=Endpoints)
    permissions_boundary: str | None = None
    role_path: str = "/"
    name_prefix: str = "terralive"
    tags: Mapping[str, str] = field(default_factory=dict)
    kms_key: str | None = None
    log_retention_days: int = 7
    backend: BackendSettings | None = None

    def name(self, part: str = "") -> str:
        """Return the name of one resource: `terralive-orders-dev-ana-broker`."""
        parts = [self.name_prefix, self.app, self.stage]
        if part:
            parts.append(part)
        return resource_name(*parts)

    def all_tags(self) -> dict[str, str]:
        """Return the organisation's tags and terralive's own."""
        return {
            **self.tags,
            "terralive:app": self.app,
            "terralive:stage": self.stage,
            "terralive:owner": self.owner,
            "terralive:created": self.created,
            "terralive:version": self.version,
        }


def resource_name(*parts: str) -> str:
    """Join parts into a name that Lambda, IAM and DynamoDB accept, of at most 64 characters.

    Different parts give different names: where characters had to be changed or cut, the name ends
    with a digest of the original parts.
    """
    wanted = "-".join(parts)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted)
    if name == wanted and len(name) <= NAME_CHARACTERS:
        return name
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{name[: NAME_CHARACTERS - _DIGEST_CHARACTERS - 1]}-{digest}"

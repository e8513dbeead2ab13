"""What a debug stack is made from: plain values, so that deciding whether to synthesise needs no jsii.

The names of everything terralive creates come from here, within AWS's limits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from terralive_terraform.documents import Json

STUB_STAGE: Final = "stub"
RELAY_STAGE: Final = "relay"
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html (role names) and
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html (function names): 64
# characters
NAME_CHARACTERS: Final = 64
_DIGEST_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Address patterns with `{api}` and `{stage}`; None for AWS's own addresses."""

    websocket: str | None = None
    management: str | None = None


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """A Terraform backend: its type (`s3`) and what stands in its block."""

    type: str
    config: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DebugStackSettings:
    """One debug stack.

    Attributes:
        app: the app's name.
        stage: the stage's name.
        region: the AWS region.
        owner: who made it, set once: another user's run changes nothing that exists.
        created: an ISO date, set once: later values change nothing that exists.
        version: terralive's version.
        endpoints: where the WebSocket API answers, if not at AWS's own address.
        permissions_boundary: the ARN of a policy for the broker's role.
        role_path: the path of the broker's role.
        name_prefix: what every name starts with.
        tags: what an organisation wants on everything, beside terralive's own.
        kms_key: the ARN of a key for table, logs and environment.
        log_retention_days: of the broker's log.
        backend: where the state is; None for a file beside the synthesised stack.
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
        """Name one resource.

        `terralive-orders-dev-ana-broker`, at most 64 characters, the same every time.
        """
        return resource_name(self.name_prefix, self.app, self.stage, *([part] if part else []))

    def all_tags(self) -> dict[str, str]:
        return {
            **self.tags,
            "terralive:app": self.app,
            "terralive:stage": self.stage,
            "terralive:owner": self.owner,
            "terralive:created": self.created,
            "terralive:version": self.version,
        }


def resource_name(*parts: str) -> str:
    """Join parts into a name that Lambda, IAM and DynamoDB take.

    Different parts give different names: what had to be changed or cut is marked by a digest of the
        original.
    """
    wanted = "-".join(parts)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted)
    if name == wanted and len(name) <= NAME_CHARACTERS:
        return name
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{name[: NAME_CHARACTERS - _DIGEST_CHARACTERS - 1]}-{digest}"

"""A request to an AWS service as the rules about its permissions see it. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from terralive_sandbox.access.policy import AccessRequest
from terralive_sandbox.access.sigv4 import Request

# Prefixes of actions that differ from the name that requests are signed for.
_ACTION_PREFIXES: Final = {"sns": "SNS", "monitoring": "cloudwatch", "tagging": "tag"}


@dataclass(frozen=True, slots=True)
class Call:
    """One operation of one service, as the rules of the services see it."""

    request: Request
    # The service's name in signatures
    service: str
    region: str
    operation: str
    # The JSON document of a request that names its operation in a header, else {}
    document: Mapping[str, object]
    # The same, or the fields of a form or query
    fields: Mapping[str, object]
    # `arn:aws:SERVICE:REGION:ACCOUNT:`
    arn_prefix: str
    # The caller's account
    account: str
    # Returns the ARN of the role with a name, "" where there is none
    role_named: Callable[[str], str]

    def field(self, *names: str) -> str:
        """Return the first of these fields that has a value, or ""."""
        for name in names:
            value = self.fields.get(name)
            if value:
                return str(value)
        return ""

    @property
    def action(self) -> str:
        """The action with the operation's name."""
        prefix = _ACTION_PREFIXES.get(self.service, self.service)
        return f"{prefix}:{self.operation}"


def any_resource(call: Call) -> list[AccessRequest]:
    """Return the call's own action, on any resource."""
    return [AccessRequest(call.action)]


def named_resource(call: Call, arn: str) -> list[AccessRequest]:
    """Return the call's own action on one resource; on any where the request names none ("")."""
    return [AccessRequest(call.action, (arn,))] if arn else any_resource(call)


def pass_role(service: str, roles: set[str]) -> list[AccessRequest]:
    """Return the permissions to give roles to a service.

    Without them anybody could get the permissions of any role.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
    """
    context = {"iam:PassedToService": f"{service}.amazonaws.com"}
    return [AccessRequest("iam:PassRole", (role,), context=context) for role in sorted(roles)]

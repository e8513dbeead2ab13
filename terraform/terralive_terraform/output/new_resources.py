"""Resources that a plan creates and that may exist already, by their names. Pure.

An apply that was interrupted may have created what Terraform's state lacks. An `import` block takes
it into the state: https://developer.hashicorp.com/terraform/language/import. The ids in these
blocks are those of the AWS provider's documentation, section "Import" of each resource type:
https://registry.terraform.io/providers/hashicorp/aws/latest/docs
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from terralive_stub.shared.json_documents import Json, text
from terralive_terraform.debug_stack.adoption import (
    API,
    BUCKET,
    FUNCTION,
    LOG_GROUP,
    PERMISSION,
    ROLE,
    ROLE_POLICY,
    TABLE,
    Import,
)
from terralive_terraform.output.shown_plan import PlannedResource, ShownPlan

ALIAS: Final = "aws_lambda_alias"
EVENT_SOURCE: Final = "aws_lambda_event_source_mapping"
FUNCTION_URL: Final = "aws_lambda_function_url"
POLICY: Final = "aws_iam_policy"
QUEUE: Final = "aws_sqs_queue"
TOPIC: Final = "aws_sns_topic"


@dataclass(frozen=True, slots=True)
class _Arguments:
    """The arguments that say which resource of its type a resource is.

    Attributes:
        name: the argument with its name; "" for the only one inside another resource.
        outer: the argument with the name of the resource that it is inside; "" for none.
        optional: an argument that says more, if it is set; "" for none.
    """

    name: str = ""
    outer: str = ""
    optional: str = ""


_KINDS: Final = {
    ALIAS: _Arguments("name", "function_name"),
    API: _Arguments("name"),
    BUCKET: _Arguments("bucket"),
    EVENT_SOURCE: _Arguments("event_source_arn", "function_name"),
    FUNCTION: _Arguments("function_name"),
    FUNCTION_URL: _Arguments("", "function_name", "qualifier"),
    LOG_GROUP: _Arguments("name"),
    PERMISSION: _Arguments("statement_id", "function_name", "qualifier"),
    POLICY: _Arguments("name", "", "path"),
    QUEUE: _Arguments("name"),
    ROLE: _Arguments("name"),
    ROLE_POLICY: _Arguments("name", "role"),
    TABLE: _Arguments("name"),
    TOPIC: _Arguments("name"),
}
# A function may be named by its ARN: https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
_IN_FUNCTION_ARN: Final = ":function:"


@dataclass(frozen=True, slots=True)
class NewResource:
    """A resource that a plan creates, and whose name the plan knows.

    Attributes:
        address: its address in the plan.
        type: its type.
        name: its name; the ARN of the source for an event source mapping; "" for a function URL.
        outer: the name of the function or role that it is inside; "" for none.
        optional: the qualifier of a function URL or a permission, or the path of a policy; "" where
            none is set.
        provider: the key of its provider in the configuration; see `PlannedResource.provider`.
        region: its own region; "" where it has that of its provider.
    """

    address: str
    type: str
    name: str
    outer: str = ""
    optional: str = ""
    provider: str = ""
    region: str = ""


def new_resources(plan: ShownPlan) -> Iterator[NewResource]:
    """Yield the resources that a plan creates and that can be looked for by their names."""
    for resource in plan.resources:
        if resource.action == "create" and resource.type in _KINDS:
            found = _new_resource(resource, _KINDS[resource.type])
            if found is not None:
                yield found


def _new_resource(resource: PlannedResource, arguments: _Arguments) -> NewResource | None:
    """Return a resource with its names; None where one of them is known after the apply only."""
    names = [arguments.name, arguments.outer, arguments.optional]
    if resource.unknown.intersection(names):
        return None
    name, outer, optional = (_argument(resource.after, argument) for argument in names)
    if (arguments.name and not name) or (arguments.outer and not outer):
        return None
    return NewResource(
        address=resource.address,
        type=resource.type,
        name=name,
        outer=outer.rpartition(_IN_FUNCTION_ARN)[2],
        optional=optional,
        provider=resource.provider,
        # Since version 6 of the provider, a resource may have a region of its own.
        region=text(resource.after, "region"),
    )


def _argument(values: Mapping[str, Json], argument: str) -> str:
    if not argument:
        return ""
    return text(values, argument)


def import_text(imports: Iterable[Import]) -> str:
    """Return `import` blocks as a user writes them into a `*.tf` file."""
    blocks = []
    for item in imports:
        # In a text, Terraform takes these for the beginning of a template.
        own_id = json.dumps(item.id).replace("${", "$${").replace("%{", "%%{")
        blocks.append(f"import {{\n  to = {item.address}\n  id = {own_id}\n}}")
    return "\n".join(blocks)

"""Resources of a debug stack that exist although Terraform's state does not have them. Pure.

The state may be on another machine or lost, or an interrupted apply has not recorded everything. An
`import` block takes an existing resource into a state:
https://developer.hashicorp.com/terraform/language/import

The ids in these blocks are those of the AWS provider's documentation, section "Import" of each
resource type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from terralive_stub.shared.json_documents import Json, as_object, section, text

API: Final = "aws_apigatewayv2_api"
AUTHORIZER: Final = "aws_apigatewayv2_authorizer"
BUCKET: Final = "aws_s3_bucket"
BUCKET_ACCESS: Final = "aws_s3_bucket_public_access_block"
BUCKET_ENCRYPTION: Final = "aws_s3_bucket_server_side_encryption_configuration"
BUCKET_POLICY: Final = "aws_s3_bucket_policy"
FUNCTION: Final = "aws_lambda_function"
IMAGES: Final = "aws_ecr_repository"
IMAGES_LIFECYCLE: Final = "aws_ecr_lifecycle_policy"
IMAGES_POLICY: Final = "aws_ecr_repository_policy"
INTEGRATION: Final = "aws_apigatewayv2_integration"
LOG_GROUP: Final = "aws_cloudwatch_log_group"
PERMISSION: Final = "aws_lambda_permission"
ROLE: Final = "aws_iam_role"
ROLE_POLICY: Final = "aws_iam_role_policy"
ROUTE: Final = "aws_apigatewayv2_route"
STAGE: Final = "aws_apigatewayv2_stage"
TABLE: Final = "aws_dynamodb_table"

# Type -> the argument with its name, by which it is found in the account.
_NAMED: Final = {
    API: "name",
    BUCKET: "bucket",
    FUNCTION: "function_name",
    IMAGES: "name",
    LOG_GROUP: "name",
    ROLE: "name",
    TABLE: "name",
}
# By these arguments, a destroy of a bucket or repository removes what is in it.
_FORCED: Final = frozenset({"force_delete", "force_destroy"})
# https://developer.hashicorp.com/terraform/language/meta-arguments
_META_ARGUMENTS: Final = frozenset({"count", "depends_on", "dynamic", "lifecycle"})
_VARIABLE: Final = re.compile(r"\$\{var\.(\w+)\}")
_REFERENCE: Final = re.compile(r"\$\{(aws_\w+\.\w+)(?:\[0\])?\.\w+\}")


@dataclass(frozen=True, slots=True)
class _Part:
    """A type of resources inside another resource.

    Attributes:
        outer: the argument that refers to the other resource.
        name: the argument with its name there; "" where there is only one.
        between: the text between the two ids in the id for the provider; None where that is the
            other resource's id alone.
    """

    outer: str
    name: str
    between: str | None = "/"


_PARTS: Final = {
    AUTHORIZER: _Part("api_id", "name"),
    BUCKET_ACCESS: _Part("bucket", "", None),
    BUCKET_ENCRYPTION: _Part("bucket", "", None),
    BUCKET_POLICY: _Part("bucket", "", None),
    IMAGES_LIFECYCLE: _Part("repository", "", None),
    IMAGES_POLICY: _Part("repository", "", None),
    INTEGRATION: _Part("api_id", ""),
    PERMISSION: _Part("function_name", "statement_id"),
    ROLE_POLICY: _Part("role", "name", ":"),
    ROUTE: _Part("api_id", "route_key"),
    STAGE: _Part("api_id", "name"),
}


class Inventory(Protocol):
    """The resources of an AWS account."""

    def id_of(self, kind: str, name: str) -> str:
        """Return the id of a resource with a name (the types in `_NAMED`); "": there is none."""

    def parts_of(self, kind: str, outer: str) -> Mapping[str, str]:
        """Return the resources inside another one (the types in `_PARTS`): name -> id.

        The name is "" for a type that has none. There are none where the other one is missing.
        """


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of the configuration.

    Attributes:
        address: `aws_lambda_function.broker`.
        type: its type.
        arguments: its arguments, with the values of variables in the place of `${var.…}`.
        is_counted: whether it has a `count`, so that it may have no instance.
    """

    address: str
    type: str
    arguments: Mapping[str, Json]
    is_counted: bool

    @property
    def instance(self) -> str:
        """The address of its only instance."""
        if self.is_counted:
            return f"{self.address}[0]"
        return self.address


@dataclass(frozen=True, slots=True)
class Import:
    """An existing resource: its address in the configuration, and its id for the provider."""

    address: str
    id: str


def resources(document: Mapping[str, Json], variables: Mapping[str, Json]) -> tuple[Resource, ...]:
    """Return the resources of a configuration in Terraform's JSON syntax."""
    found = []
    for kind, named in section(document, "resource").items():
        for name, body in as_object(named).items():
            arguments = {key: _filled(value, variables) for key, value in as_object(body).items()}
            found.append(Resource(f"{kind}.{name}", kind, arguments, "count" in arguments))
    return tuple(found)


def is_complete(wanted: Sequence[Resource], present: Mapping[str, str]) -> bool:
    """Tell whether a state has every resource that has no `count`.

    Args:
        wanted: the resources of the configuration.
        present: the state's instances, address -> id.
    """
    return all(item.address in present for item in wanted if not item.is_counted)


def find(
    wanted: Sequence[Resource], present: Mapping[str, str], inventory: Inventory
) -> tuple[Import, ...]:
    """Return the resources that exist in the account and not in the state.

    A resource of a type that is not known here (a team's own) is not looked for.

    Args:
        wanted: the resources of the configuration.
        present: the state's instances, address -> id.
        inventory: the account.
    """
    search = _Search({item.address: item for item in wanted}, present, inventory)
    imports = []
    for item in wanted:
        if item.instance not in present:
            found = search.import_id(item)
            if found:
                imports.append(Import(item.instance, found))
    return tuple(imports)


def import_blocks(imports: Sequence[Import]) -> dict[str, Json]:
    """Return a configuration with these `import` blocks, in Terraform's JSON syntax."""
    blocks: list[Json] = []
    for item in imports:
        blocks.append({"to": item.address, "id": item.id})
    return {"import": blocks}


def unknown(wanted: Sequence[Resource]) -> tuple[str, ...]:
    """Return the addresses of resources that cannot be looked for: a team's own."""
    return tuple(item.address for item in wanted if not _is_known(item.type))


def without_updates(document: Mapping[str, Json]) -> dict[str, Json]:
    """Return a configuration by which Terraform imports resources and updates none of them.

    It serves a destroy: what is removed at once need not be brought up to date before. Resources
    that cannot be looked for are not in it, because Terraform would create them again.

    No import knows of `_FORCED`, and a destroy needs it: it changes the state and nothing else.
    """
    types: dict[str, Json] = {}
    for kind, named in section(document, "resource").items():
        if _is_known(kind):
            types[kind] = {
                name: {**as_object(body), "lifecycle": {"ignore_changes": _ignored(body)}}
                for name, body in as_object(named).items()
            }
    rest = {name: value for name, value in document.items() if name != "output"}
    return {**rest, "resource": types}


def _ignored(body: Json) -> Json:
    """Return the changes of a resource to ignore: all but that a destroy removes what is in it."""
    block = as_object(body)
    if _FORCED.isdisjoint(block):
        return "all"
    names = {*block, *section(block, "dynamic")} - _FORCED - _META_ARGUMENTS
    return list[Json](sorted(names))


def _is_known(kind: str) -> bool:
    return kind in _NAMED or kind in _PARTS


class _Search:
    """A search in one account."""

    def __init__(
        self, wanted: Mapping[str, Resource], present: Mapping[str, str], inventory: Inventory
    ) -> None:
        self._wanted = wanted
        self._present = present
        self._inventory = inventory
        # (type, id of the outer resource) -> its parts, so that each is asked for once.
        self._parts: dict[tuple[str, str], Mapping[str, str]] = {}

    def import_id(self, item: Resource) -> str:
        """Return the id with which the provider imports a resource; "" where it does not exist."""
        part = _PARTS.get(item.type)
        if part is None:
            return self._own_id(item)
        outer = self._outer_id(item, part)
        if not outer:
            return ""
        key = (item.type, outer)
        if key not in self._parts:
            self._parts[key] = self._inventory.parts_of(item.type, outer)
        name = ""
        if part.name:
            name = text(item.arguments, part.name)
        inner = self._parts[key].get(name, "")
        if not inner:
            return ""
        if part.between is None:
            return outer
        return f"{outer}{part.between}{inner}"

    def _own_id(self, item: Resource) -> str:
        if item.instance in self._present:
            return self._present[item.instance]
        if item.type not in _NAMED:
            return ""
        name = text(item.arguments, _NAMED[item.type])
        if not name or "${" in name:
            # A variable that is null: the resource is not wanted. Or only Terraform knows the name.
            return ""
        return self._inventory.id_of(item.type, name)

    def _outer_id(self, item: Resource, part: _Part) -> str:
        reference = _REFERENCE.fullmatch(text(item.arguments, part.outer))
        if reference is None or reference[1] not in self._wanted:
            return ""
        return self._own_id(self._wanted[reference[1]])


def _filled(value: Json, variables: Mapping[str, Json]) -> Json:
    """Return an argument with the values of variables in it, as far as it is a text."""
    if not isinstance(value, str):
        return value
    whole = _VARIABLE.fullmatch(value)
    if whole is not None and whole[1] in variables and variables[whole[1]] is None:
        return None
    return _VARIABLE.sub(lambda match: str(variables.get(match[1], match[0])), value)

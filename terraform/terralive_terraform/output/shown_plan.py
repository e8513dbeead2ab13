"""Content of a saved plan, from `terraform show -json`. Pure.

The format: https://developer.hashicorp.com/terraform/internals/json-format. It holds values in
plain text, also sensitive ones. So no value of it is printed, logged or kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from terralive_stub.shared.json_documents import Json, items, section, text
from terralive_terraform.addresses import without_keys

# The actions of one change, and the one word that names them together.
_ACTIONS: Final[Mapping[tuple[str, ...], str]] = {
    ("create",): "create",
    ("update",): "update",
    ("delete",): "delete",
    ("read",): "read",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    ("forget",): "forget",
    ("create", "forget"): "replace",
    ("forget", "create"): "replace",
}
_NO_ACTION: Final = "no-op"
_TAINTED: Final = "replace_because_tainted"


@dataclass(frozen=True, slots=True)
class PlannedResource:
    """One managed resource instance of a plan, also one that does not change.

    Attributes:
        address: its address, with modules and instance keys.
        type: its type.
        action: `create`, `update`, `delete`, `replace`, `forget` (it leaves the state, and stays
            on AWS), `import`, `move` (only its address changes) or `no-op`.
        before: its values as AWS has them, {} where it does not exist.
        after: its values after the apply, as far as they are known; {} where it is deleted.
        unknown: the names of values that are known only after the apply.
        provider: the key of its provider in the configuration: `aws`, or `aws.us` for an alias of
            the root module; "" where Terraform does not tell it.
        is_tainted: whether it is replaced because its creation has not finished.
    """

    address: str
    type: str
    action: str
    before: Mapping[str, Json] = field(default_factory=dict, repr=False)
    after: Mapping[str, Json] = field(default_factory=dict, repr=False)
    unknown: frozenset[str] = frozenset()
    provider: str = ""
    is_tainted: bool = False

    @property
    def changed(self) -> frozenset[str]:
        """The names of the attributes and blocks that an update changes."""
        names = {*self.before, *self.after}
        different = {name for name in names if self.before.get(name) != self.after.get(name)}
        return frozenset(different | self.unknown)


@dataclass(frozen=True, slots=True)
class ShownPlan:
    """A saved plan.

    Attributes:
        resources: the managed resource instances.
        is_first: whether the state was empty before.
        archives: the values of the `archive_file` data sources that were read.
    """

    resources: tuple[PlannedResource, ...]
    is_first: bool
    archives: tuple[Mapping[str, Json], ...] = field(default=(), repr=False)

    def of_type(self, kind: str) -> Iterator[PlannedResource]:
        """Yield the instances of one resource type."""
        return (resource for resource in self.resources if resource.type == kind)


def shown_plan(document: Mapping[str, Json]) -> ShownPlan:
    """Read the JSON document of a plan."""
    resources = tuple(_resources(document))
    # Terraform leaves the prior state out where it is empty.
    is_first = not any(resource.before for resource in resources)
    archives: list[Mapping[str, Json]] = []
    for part in (section(document, "prior_state"), document):
        name = "values" if "values" in part else "planned_values"
        archives += _archives(section(section(part, name), "root_module"))
    return ShownPlan(resources, is_first, tuple(archives))


def _archives(module: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    for resource in items(module, "resources"):
        if isinstance(resource, dict) and text(resource, "type") == "archive_file":
            if text(resource, "mode") == "data":
                yield section(resource, "values")
    for child in items(module, "child_modules"):
        if isinstance(child, dict):
            yield from _archives(child)


def _resources(document: Mapping[str, Json]) -> Iterator[PlannedResource]:
    providers = dict(_providers(section(section(document, "configuration"), "root_module"), ""))
    for item in items(document, "resource_changes"):
        if not isinstance(item, dict) or text(item, "mode") != "managed":
            continue
        change = section(item, "change")
        unknown = section(change, "after_unknown")
        yield PlannedResource(
            address=text(item, "address"),
            type=text(item, "type"),
            action=_action(item, change),
            before=section(change, "before"),
            after=section(change, "after"),
            # Terraform writes `true` for what is unknown, and also parts that are empty.
            unknown=frozenset(name for name, value in unknown.items() if has_unknown(value)),
            provider=providers.get(without_keys(text(item, "address")), ""),
            is_tainted=text(item, "action_reason") == _TAINTED,
        )


def _providers(module: Mapping[str, Json], prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the address of each block of a module, without keys, and the key of its provider."""
    for resource in items(module, "resources"):
        if isinstance(resource, dict):
            address = prefix + text(resource, "address")
            yield address, text(resource, "provider_config_key")
    for name in section(module, "module_calls"):
        call = section(section(module, "module_calls"), name)
        yield from _providers(section(call, "module"), f"{prefix}module.{name}.")


def _action(item: Mapping[str, Json], change: Mapping[str, Json]) -> str:
    actions = tuple(str(action) for action in items(change, "actions"))
    if actions != (_NO_ACTION,):
        return _ACTIONS.get(actions, "-".join(actions))
    if section(change, "importing"):
        return "import"
    if text(item, "previous_address"):
        return "move"
    return _NO_ACTION


def has_unknown(value: Json) -> bool:
    """Tell whether a value of `after_unknown` says that something in it is not known."""
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return value is True

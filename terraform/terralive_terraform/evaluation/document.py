"""Content of a plan of the app without stubs: resources, data sources and expressions. Pure.

The format is that of `terraform show -json PLAN`:
https://developer.hashicorp.com/terraform/internals/json-format. Its values are plain text, also
sensitive ones. So no value of it is printed, logged or written to a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, items, section, text
from terralive_terraform.addresses import without_keys
from terralive_terraform.output.shown_plan import has_unknown

MANAGED: Final = "managed"
DATA: Final = "data"
_EACH_VALUE: Final = re.compile(r"each\.value\b")
_REMOVED: Final = ("delete", "forget")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One instance of a resource or of a data source, as the plan leaves it.

    Attributes:
        address: its address, with instance keys: `module.jobs["a"].aws_s3_object.code[0]`.
        module: the address of its module, with instance keys; "" for the root module.
        mode: `MANAGED` or `DATA`.
        type: its type.
        values: what is known, by the names of attributes and blocks. Unset attributes are None.
        unknown_values: what is known only after an apply: `true` in the place of each such value.
        is_new: whether it is not deployed yet.
    """

    address: str
    module: str
    mode: str
    type: str
    values: Mapping[str, Json] = field(repr=False)
    unknown_values: Mapping[str, Json] = field(default_factory=dict)
    is_new: bool = False

    @property
    def unknown(self) -> frozenset[str]:
        """The names of attributes and blocks that are not known, also where only a part is."""
        # Terraform also writes the parts that are known, as empty objects and lists.
        return frozenset(name for name, value in self.unknown_values.items() if has_unknown(value))


class Evaluation:
    """A plan of the app without stubs.

    Args:
        document: the JSON document of the plan.
        directory: the folder that Terraform ran in. Relative paths in values are relative to it.
    """

    def __init__(self, document: Mapping[str, Json], directory: Path) -> None:
        self.directory = directory
        self._configuration = section(document, "configuration")
        self._blocks = dict(_declared(section(self._configuration, "root_module"), ""))
        self._instances = _instances(document)
        self._variables = section(document, "variables")

    def variables(self) -> Mapping[str, Json]:
        """Return the values of the root module's variables, without sensitive ones.

        Terraform shows them all, also those that have their default.
        """
        declared = section(section(self._configuration, "root_module"), "variables")
        return {
            name: section(self._variables, name).get("value")
            for name in self._variables
            if not section(declared, name).get("sensitive")
        }

    def instances(self, kind: str, mode: str = MANAGED) -> tuple[Evaluated, ...]:
        """Return the instances of one type that exist after an apply, in the plan's order."""
        return tuple(self._instances.get((mode, kind), ()))

    def data_sources(self) -> tuple[Evaluated, ...]:
        """Return the instances of all data sources."""
        found: list[Evaluated] = []
        for (mode, _), several in self._instances.items():
            if mode == DATA:
                found += several
        return tuple(found)

    def new_addresses(self) -> tuple[str, ...]:
        """Return the addresses of the managed resources that are not deployed yet."""
        found: list[str] = []
        for (mode, _), several in self._instances.items():
            if mode == MANAGED:
                found += [item.address for item in several if item.is_new]
        return tuple(found)

    def instances_at(self, address: str) -> tuple[Evaluated, ...]:
        """Return the instances of one declared resource or data source.

        Args:
            address: its address, without instance keys.
        """
        return tuple(self._by_address.get(address, ()))

    def block(self, address: str) -> Mapping[str, Json]:
        """Return the block that declares a resource or data source; {} where there is none.

        It has `expressions`, `provider_config_key`, `count_expression` and `for_each_expression`.
        An expression is `{"constant_value": …}` or `{"references": […]}`.

        Args:
            address: the address of an instance, or one without instance keys.
        """
        return self._blocks.get(without_keys(address), {})

    def declared(self, kind: str) -> tuple[str, ...]:
        """Return the addresses of the blocks of one type, with those that have no instance now."""
        found = (address for address in self._blocks if address.split(".")[-2:-1] == [kind])
        return tuple(address for address in found if not address.startswith("data."))

    def references(self, address: str, attribute: str) -> tuple[str, ...]:
        """Return what an attribute refers to, as written in its module: `aws_s3_object.code.key`.

        `each.value` refers to the resource that `for_each` names: `for_each = aws_sqs_queue.jobs`.

        Args:
            address: the address of a resource, with or without instance keys.
            attribute: the attribute's name.
        """
        block = self.block(address)
        written = _written(section(block, "expressions"), attribute)
        others = [item for item in written if not _EACH_VALUE.match(item)]
        if written and not others:
            return _written(block, "for_each_expression") or written
        return written

    def call(self, module: str) -> Mapping[str, Json]:
        """Return the block that calls a module; {} where there is none.

        Args:
            module: the module's address, with or without instance keys.
        """
        current: Mapping[str, Json] = section(self._configuration, "root_module")
        found: Mapping[str, Json] = {}
        for name in call_names(module):
            found = section(section(current, "module_calls"), name)
            current = section(found, "module")
        return found

    def module_folders(self) -> frozenset[Path]:
        """Return the folders of the root module and of the local modules that it calls."""
        root = section(self._configuration, "root_module")
        return frozenset(_folders(root, self.directory.resolve()))

    def provider(self, key: str) -> Mapping[str, Json]:
        """Return the configuration of a provider by its key (`aws.eu`, `module.a:aws`)."""
        return section(section(self._configuration, "provider_config"), key)

    @cached_property
    def _by_address(self) -> dict[str, list[Evaluated]]:
        found: dict[str, list[Evaluated]] = {}
        for several in self._instances.values():
            for item in several:
                found.setdefault(without_keys(item.address), []).append(item)
        return found


def call_names(module: str) -> tuple[str, ...]:
    """Return the names of the calls in a module's address: `orders`, `jobs`."""
    plain = without_keys(module)
    if not plain:
        return ()
    return tuple(plain.removeprefix("module.").split(".module."))


def _declared(module: Mapping[str, Json], prefix: str) -> Iterator[tuple[str, Mapping[str, Json]]]:
    for block in items(module, "resources"):
        if isinstance(block, dict):
            yield prefix + text(block, "address"), block
    for name, call in section(module, "module_calls").items():
        if isinstance(call, dict):
            yield from _declared(section(call, "module"), f"{prefix}module.{name}.")


def _written(expressions: Mapping[str, Json], name: str) -> tuple[str, ...]:
    """Return what an expression refers to, as written."""
    written = items(section(expressions, name), "references")
    return tuple(item for item in written if isinstance(item, str))


def _folders(module: Mapping[str, Json], folder: Path) -> Iterator[Path]:
    yield folder
    for call in section(module, "module_calls").values():
        if isinstance(call, dict):
            source = text(call, "source")
            if source.startswith(("./", "../")):
                yield from _folders(section(call, "module"), (folder / source).resolve())


def _instances(document: Mapping[str, Json]) -> dict[tuple[str, str], list[Evaluated]]:
    """Return all instances by mode and type.

    Changes have managed resources, and those data sources that can only be read in an apply.
    Data sources that were read are in the prior state, and in the planned values where their
    module is new.
    """
    found: dict[str, Evaluated] = {}
    for part in (section(document, "prior_state"), document):
        name = "values" if "values" in part else "planned_values"
        for item in _resources(section(section(part, name), "root_module")):
            if item.mode == DATA:
                found[item.address] = item
    for change in items(document, "resource_changes"):
        if isinstance(change, dict):
            evaluated = _changed(change)
            if evaluated is not None:
                found[evaluated.address] = evaluated
    by_type: dict[tuple[str, str], list[Evaluated]] = {}
    for item in found.values():
        by_type.setdefault((item.mode, item.type), []).append(item)
    return by_type


def _resources(module: Mapping[str, Json]) -> Iterator[Evaluated]:
    """Yield the resources of a module and of all modules in it."""
    for item in items(module, "resources"):
        if isinstance(item, dict):
            yield Evaluated(
                address=text(item, "address"),
                module=text(module, "address"),
                mode=text(item, "mode"),
                type=text(item, "type"),
                values=section(item, "values"),
            )
    for child in items(module, "child_modules"):
        if isinstance(child, dict):
            yield from _resources(child)


def _changed(item: Mapping[str, Json]) -> Evaluated | None:
    """Return an instance as a change leaves it; None for one that is removed."""
    change = section(item, "change")
    actions = items(change, "actions")
    if len(actions) == 1 and actions[0] in _REMOVED:
        return None
    return Evaluated(
        address=text(item, "address"),
        module=text(item, "module_address"),
        mode=text(item, "mode"),
        type=text(item, "type"),
        values=section(change, "after"),
        unknown_values=section(change, "after_unknown"),
        is_new=actions == ["create"],
    )

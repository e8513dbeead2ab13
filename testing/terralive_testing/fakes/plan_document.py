"""A plan's JSON document that a test puts together, resource by resource.

Its format is that of `terraform show -json PLAN`:
https://developer.hashicorp.com/terraform/internals/json-format
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from terralive_stub.shared.json_documents import Json
from terralive_terraform.addresses import without_keys
from terralive_terraform.evaluation.document import Evaluation, call_names

References = Mapping[str, Sequence[str]]


class PlanDocument:
    """A plan of an app without stubs, to which resources are added one by one."""

    def __init__(self) -> None:
        # Changes of managed resources, and the blocks of the root module, in Terraform's format.
        self._changes: list[Json] = []
        self._data: dict[str, list[Json]] = {}
        self._root: dict[str, Json] = {"resources": [], "module_calls": {}}
        self._variables: dict[str, Json] = {}

    def managed(
        self,
        address: str,
        values: Mapping[str, Json],
        *,
        unknown: Mapping[str, Json] | None = None,
        references: References | None = None,
        depends_on: Sequence[str] = (),
        command: str = "",
    ) -> None:
        """Add an instance of a resource that the plan creates, perhaps with a `local-exec`."""
        module, kind = _parts(address)
        change: Json = {
            "actions": ["create"],
            "after": dict(values),
            "after_unknown": dict(unknown or {}),
        }
        self._changes.append(
            {
                "address": address,
                "module_address": module,
                "mode": "managed",
                "type": kind,
                "change": change,
            }
        )
        self._declare(address, references or {}, depends_on, command)

    def nested(
        self,
        address: str,
        block: str,
        references: Mapping[str, Sequence[Mapping[str, Sequence[str]]]],
    ) -> None:
        """Add a nested block with blocks in it, whose attributes refer to something."""
        module, _ = _parts(address)
        local = address.removeprefix(f"{module}.") if module else address
        resources = self._module(call_names(module))["resources"]
        assert isinstance(resources, list)
        inner: dict[str, Json] = {
            name: [
                {attribute: {"references": list(to)} for attribute, to in item.items()}
                for item in several
            ]
            for name, several in references.items()
        }
        for resource in resources:
            assert isinstance(resource, dict)
            if resource["address"] == without_keys(local):
                resource["expressions"] = {block: [inner]}

    def data(
        self,
        address: str,
        values: Mapping[str, Json],
        *,
        references: References | None = None,
        depends_on: Sequence[str] = (),
    ) -> None:
        """Add an instance of a data source that the plan has read."""
        module, kind = _parts(address)
        item: Json = {"address": address, "mode": "data", "type": kind, "values": dict(values)}
        self._data.setdefault(module, []).append(item)
        self._declare(address, references or {}, depends_on)

    def for_each(self, address: str, references: Sequence[str]) -> None:
        """Say what the `for_each` of a resource refers to."""
        module, _ = _parts(address)
        local = address.removeprefix(f"{module}.") if module else address
        resources = self._module(call_names(module))["resources"]
        assert isinstance(resources, list)
        for resource in resources:
            assert isinstance(resource, dict)
            if resource["address"] == without_keys(local):
                resource["for_each_expression"] = {"references": list(references)}

    def call(self, module: str, references: References) -> None:
        """Say what the arguments of a module's call refer to."""
        call = self._call(call_names(module))
        call["expressions"] = {name: {"references": list(to)} for name, to in references.items()}

    def argument(self, module: str, name: str, value: Json) -> None:
        """Give a module's call a literal argument."""
        expressions = self._call(call_names(module)).setdefault("expressions", {})
        assert isinstance(expressions, dict)
        expressions[name] = {"constant_value": value}

    def variable(self, name: str, *, value: Json) -> None:
        """Give a variable of the root module a value."""
        self._variables[name] = {"value": value}

    def source(self, module: str, source: str) -> None:
        """Say where a module is."""
        self._call(call_names(module))["source"] = source

    def output(self, module: str, name: str, references: Sequence[str]) -> None:
        """Say what an output of a module refers to."""
        outputs = self._module(call_names(module)).setdefault("outputs", {})
        assert isinstance(outputs, dict)
        outputs[name] = {"expression": {"references": list(references)}}

    def evaluation(self, directory: Path) -> Evaluation:
        """Return the plan as the code under test reads it."""
        children: list[Json] = [
            {"address": module, "resources": items}
            for module, items in self._data.items()
            if module
        ]
        root: Json = {"resources": self._data.get("", []), "child_modules": children}
        document: dict[str, Json] = {
            "prior_state": {"values": {"root_module": root}},
            "resource_changes": self._changes,
            "configuration": {"root_module": self._root},
            "variables": self._variables,
        }
        return Evaluation(document, directory)

    def _declare(
        self,
        address: str,
        references: References,
        depends_on: Sequence[str],
        command: str = "",
    ) -> None:
        module, _ = _parts(address)
        resources = self._module(call_names(module))["resources"]
        assert isinstance(resources, list)
        local = address.removeprefix(f"{module}.") if module else address
        resources.append(
            {
                "address": without_keys(local),
                "expressions": {name: {"references": list(to)} for name, to in references.items()},
                "depends_on": list(depends_on),
                "provisioners": [
                    {"type": "local-exec", "expressions": {"command": {"constant_value": command}}}
                ],
            }
        )

    def _call(self, names: Sequence[str]) -> dict[str, Json]:
        self._module(names)
        calls = self._module(names[:-1])["module_calls"]
        assert isinstance(calls, dict)
        call = calls[names[-1]]
        assert isinstance(call, dict)
        return call

    def _module(self, names: Sequence[str]) -> dict[str, Json]:
        current = self._root
        for name in names:
            calls = current["module_calls"]
            assert isinstance(calls, dict)
            call = calls.setdefault(name, {"module": {"resources": [], "module_calls": {}}})
            assert isinstance(call, dict)
            module = call["module"]
            assert isinstance(module, dict)
            current = module
        return current


def _parts(address: str) -> tuple[str, str]:
    """Return the module and the type of an instance's address."""
    plain = without_keys(address).split(".")
    steps = 0
    while plain[steps] == "module":
        steps += 2
    kind = plain[steps]
    if kind == "data":
        kind = plain[steps + 1]
    end = address.index(f"{'data.' if plain[steps] == 'data' else ''}{kind}.")
    return address[:end].rstrip("."), kind

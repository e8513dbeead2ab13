"""Calls of modules, through which the search for an image's build follows references.

The values are those that `discovery` computes. Unknown parts of a text stay as `${…}`, because the
rest of it may be enough.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from terralive_stub.shared.json_documents import Json, as_object, section
from terralive_terraform.discovery.files import ModuleCall
from terralive_terraform.discovery.hcl.scope import compute_expression, parsed_template
from terralive_terraform.discovery.hcl.syntax import Attribute, Name, Sequence
from terralive_terraform.discovery.hcl.values import as_text

_MODULE: Final = re.compile(r"module\.([\w-]+)(?:\[[^]]*\])?\.")
# Locals may refer to each other in a circle only in a configuration that Terraform refuses.
_MOST_STEPS: Final = 20


class Modules:
    """The calls of all modules of a configuration, with the root module as the first one."""

    def __init__(self, calls: Iterable[ModuleCall]) -> None:
        self._by_key = {call.key: call for call in calls}
        # The folder that Terraform runs in.
        self.root = self._by_key[""].directory

    def of_resource(self, address: str) -> ModuleCall | None:
        """Return the module of a resource, by its address; None where it is not on this machine."""
        return self._by_key.get(".".join(_MODULE.findall(address)))

    def called(self, caller: ModuleCall, name: str) -> ModuleCall | None:
        """Return a module that another one calls; None where it is not on this machine."""
        return self._by_key.get(f"{caller.key}.{name}".lstrip("."))

    def text(self, module: ModuleCall, value: Json, steps: int = 0) -> str:
        """Return a text with the values of its expressions; "" for a value of another type."""
        if not isinstance(value, str):
            return ""
        template = parsed_template(value)
        if template is None:
            return value
        found = ""
        for part in template.parts:
            if isinstance(part, str):
                found += part
            else:
                found += self._text_of(module, part, steps)
        return found

    def _text_of(self, module: ModuleCall, part: Sequence, steps: int) -> str:
        """Return the text of one expression in a text."""
        if part.value is None or steps > _MOST_STEPS:
            return part.source
        known = as_text(compute_expression(part.value, module.scope))
        if known is not None:
            return known
        match part.value:
            case Attribute(Name("local"), name):
                found, where = local(module, name), module
            case Attribute(Name("var"), name):
                found, where = variable(module, name)
            case _:
                return part.source
        if not isinstance(found, str):
            return part.source
        return self.text(where, found, steps + 1)


def block(module: ModuleCall, kind: str, *labels: str) -> dict[str, Json]:
    """Return a block; {} for none."""
    found = section(module.document.content, kind)
    for label in labels:
        found = section(found, label)
    return dict(found)


def resources(module: ModuleCall) -> Iterator[tuple[str, str, dict[str, Json]]]:
    """Yield type, label and block of each managed resource."""
    for kind, labels in block(module, "resource").items():
        for label, body in as_object(labels).items():
            yield kind, label, as_object(body)


def local(module: ModuleCall, name: str) -> Json:
    """Return the expression of a local value; None where there is none."""
    return block(module, "locals").get(name)


def variable(module: ModuleCall, name: str) -> tuple[Json, ModuleCall]:
    """Return the expression that gives a variable its value, and the module that it stands in."""
    if module.caller is not None and name in module.arguments:
        return module.arguments[name], module.caller
    return block(module, "variable", name).get("default"), module


def written(value: Json) -> str:
    """Return all expressions of a block in one text."""
    return json.dumps(value, ensure_ascii=False)

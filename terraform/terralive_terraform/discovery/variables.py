"""The values of a module's variables, as far as no Terraform is needed to know them.

https://developer.hashicorp.com/terraform/language/values/variables
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, as_object, section, text
from terralive_terraform.discovery.hcl.folders import read_file
from terralive_terraform.discovery.hcl.scope import Scope, compute
from terralive_terraform.discovery.hcl.values import (
    Unknown,
    Value,
    as_number,
    as_text,
    as_truth,
    is_null,
    scalar_types,
)
from terralive_terraform.runs.arguments import VAR, VAR_FILE, parsed
from terralive_terraform.runs.environment import arguments_in

_ENVIRONMENT_PREFIX: Final = "TF_VAR_"
# Variables of these types take a text from the environment as it is; all others, an expression.
_PRIMITIVE: Final = ("", "string", "number", "bool")
_CONVERSIONS: Final = {"string": as_text, "number": as_number, "bool": as_truth}


@dataclass(frozen=True, slots=True)
class GivenVariables:
    """The sources from which a root module's variables get their values.

    Attributes:
        arguments: arguments for `terraform plan`, each of them one word; others are left out.
        environ: the environment of Terraform.
    """

    arguments: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    def values(self, directory: Path, declared: Mapping[str, Json]) -> dict[str, Value]:
        """Return the values of a root module's variables.

        Args:
            directory: the root module's folder.
            declared: its `variable` blocks by name.
        """
        given: dict[str, Value] = {}
        for name, value in self.environ.items():
            if name.startswith(_ENVIRONMENT_PREFIX):
                label = name.removeprefix(_ENVIRONMENT_PREFIX)
                given[label] = _parsed(value, section(declared, label))
        for file in _automatic_files(directory):
            given.update(_in_file(file))
        # Terraform puts the environment's arguments before those of the command line.
        for argument in (*arguments_in(self.environ, "plan"), *parsed(self.arguments)):
            if argument.name == VAR_FILE:
                given.update(_in_file(directory / argument.value))
            elif argument.name == VAR:
                label, _, assigned = argument.value.partition("=")
                given[label.strip()] = _parsed(assigned, section(declared, label.strip()))
        return variable_values(declared, given)


def variable_values(declared: Mapping[str, Json], given: Mapping[str, Value]) -> dict[str, Value]:
    """Return the values of a module's variables: those that are given, or their defaults.

    Args:
        declared: the `variable` blocks by name.
        given: values by name.
    """
    values = dict(given)
    for name, block in declared.items():
        values[name] = _converted(
            given.get(name, Unknown.MAYBE_NULL), as_object(block), is_given=name in given
        )
    return values


def _converted(given: Value, block: Mapping[str, Json], *, is_given: bool) -> Value:
    """Return the value that a variable has.

    https://developer.hashicorp.com/terraform/language/block/variable
    """
    value = given
    replaces_null = block.get("nullable") is False and is_null(given)
    if "default" in block and (not is_given or replaces_null):
        value = compute(block["default"], Scope())
    if value is None or isinstance(value, Unknown):
        return value
    return _of_type(value, _type(block))


def _of_type(value: Value, kind: str) -> Value:
    """Return a value as its variable's type makes it; unknown where only Terraform knows."""
    if "optional(" in kind:
        # Attributes that are missing get values.
        return Unknown.NOT_NULL
    conversion = _CONVERSIONS.get(kind)
    if conversion is None:
        if "string" in kind and scalar_types(value) - {"string"}:
            # Terraform converts some of what it contains.
            return Unknown.NOT_NULL
        return value
    converted = conversion(value)
    if converted is None:
        return Unknown.NOT_NULL
    return converted


def _type(block: Mapping[str, Json]) -> str:
    return text(block, "type").removeprefix("${").removesuffix("}").strip()


def _parsed(value: str, block: Mapping[str, Json]) -> Value:
    """Return the value of a text from the environment or from an argument."""
    if _type(block) in _PRIMITIVE:
        return value
    return compute(f"${{{value}}}", Scope())


def _automatic_files(directory: Path) -> list[Path]:
    found = [directory / "terraform.tfvars", directory / "terraform.tfvars.json"]
    found += sorted([*directory.glob("*.auto.tfvars"), *directory.glob("*.auto.tfvars.json")])
    return found


def _in_file(file: Path) -> dict[str, Value]:
    """Return the values in a variables file; {} where there is no such file.

    A file in JSON syntax has values, and no expressions.
    """
    if not file.is_file():
        return {}
    content = read_file(file).content
    if file.suffix == ".json":
        return dict(_plain(content))
    return {name: compute(value, Scope()) for name, value in content.items()}


def _plain(content: Mapping[str, Json]) -> Iterator[tuple[str, Value]]:
    for name, value in content.items():
        yield name, _as_value(value)


def _as_value(value: Json) -> Value:
    if isinstance(value, list):
        return [_as_value(item) for item in value]
    if isinstance(value, dict):
        return {name: _as_value(item) for name, item in value.items()}
    return value

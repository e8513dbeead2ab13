"""Reads the configuration files of a module's folder into one document.

Override files are merged last: https://developer.hashicorp.com/terraform/language/files/override.
OpenTofu reads `x.tofu` in the place of `x.tf`: https://opentofu.org/docs/language/files/.
"""

from __future__ import annotations

import json
import os.path
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, as_object, section
from terralive_terraform.discovery.hcl.blocks import Document, Fault, read_document

# Terraform reads `*_override.tf.json` last, and such a file can only change resources that other
# files declare. Override files are read by name: behind `~` comes no override file of a team's.
OVERRIDE_FILE: Final = "~terralive_override.tf.json"
_TERRAFORM: Final = (".tf", ".tf.json")
_OPENTOFU: Final = (".tofu", ".tofu.json")
# The types of blocks, and the number of their labels (`resource "type" "name"`).
_LABELS: Final = {
    "resource": 2,
    "data": 2,
    "module": 1,
    "variable": 1,
    "output": 1,
    "locals": 0,
}
# The types of blocks in which functions may be declared, and everything outside of blocks.
_WITH_FUNCTIONS: Final = ("resource", "module", "")

Wanted = Callable[[str, tuple[str, ...]], bool]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place in a configuration file that cannot be read.

    Attributes:
        file: the file.
        line: the line, starting at 1.
        problem: what is wrong there.
        block: the block that is not read (`resource "aws_lambda_function" "api"`); "" where it is
            not one block.
        may_hide_functions: whether functions may be declared in what is not read.
    """

    file: Path
    line: int
    problem: str
    block: str = ""
    may_hide_functions: bool = True


@dataclass(frozen=True, slots=True)
class FolderDocument:
    """The configuration in a folder, in Terraform's JSON syntax.

    Attributes:
        content: blocks by type and labels (`content["resource"]["aws_sqs_queue"]["jobs"]`).
        unreadable: what cannot be read.
    """

    content: dict[str, Json]
    unreadable: tuple[Unreadable, ...] = ()


def is_opentofu(binary: str) -> bool:
    """Tell by its name whether a program is OpenTofu, which reads `.tofu` files."""
    return os.path.basename(binary).startswith("tofu")  # noqa: PTH119  # it may be a bare name


def is_team_file(path: Path) -> bool:
    """Tell whether a file is a configuration file of the team's, for Terraform or OpenTofu.

    Terraform reads no hidden files: https://developer.hashicorp.com/terraform/language/files.
    """
    name = path.name
    is_hidden = name.startswith(".")
    if is_hidden or not name.endswith((*_TERRAFORM, *_OPENTOFU)) or name == OVERRIDE_FILE:
        return False
    return path.is_file()


def configuration_files(directory: Path, *, opentofu: bool = False) -> tuple[Path, ...]:
    """Return a folder's configuration files in the order in which they are merged.

    Override files come last. terralive's own is left out.

    Args:
        directory: the folder; one that does not exist has no files.
        opentofu: whether OpenTofu reads them.
    """
    if not directory.is_dir():
        return ()
    files = {path.name: path for path in directory.iterdir() if is_team_file(path)}
    found: list[Path] = []
    for name, path in files.items():
        is_tofu = name.endswith(_OPENTOFU)
        if is_tofu and not opentofu:
            continue
        if not is_tofu and opentofu and _in_opentofu(name) in files:
            continue
        found.append(path)
    return tuple(sorted(found, key=lambda path: (is_override_file(path), path.name)))


def is_override_file(path: Path) -> bool:
    """Tell whether a configuration file changes what other files declare."""
    stem = path.name.removesuffix(".json").rpartition(".")[0]
    return stem == "override" or stem.endswith("_override")


def read_file(path: Path, wanted: Wanted = lambda *_: True) -> Document:
    """Read a configuration or variables file in either syntax; see `read_document`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return Document({}, (Fault(1, f"it cannot be opened: {error.strerror}"),))
    if path.suffix == ".json":
        return _read_json(content)
    return read_document(content, wanted)


def read_folder(directory: Path, wanted: Wanted, *, opentofu: bool = False) -> FolderDocument:
    """Read a folder's configuration files.

    Args:
        directory: the folder.
        wanted: tells by type and labels whether a block is to be read. Only resources, data
            sources, module calls, variables, outputs and local values are.
        opentofu: whether OpenTofu reads them.
    """
    merged: dict[str, Json] = {kind: {} for kind in _LABELS}
    unreadable: list[Unreadable] = []
    for path in configuration_files(directory, opentofu=opentofu):
        document = read_file(path, wanted)
        unreadable.extend(_unreadable(path, fault) for fault in document.faults)
        for kind, labels in _LABELS.items():
            for names, block in _blocks(document.content.get(kind), labels):
                if wanted(kind, names):
                    _add(merged, (kind, *names), block, overrides=is_override_file(path))
    return FolderDocument(merged, tuple(unreadable))


def _in_opentofu(name: str) -> str:
    """Return the name of the file that OpenTofu reads instead, if it exists."""
    if name.endswith(".tf.json"):
        return name.removesuffix(".tf.json") + ".tofu.json"
    return name.removesuffix(".tf") + ".tofu"


@lru_cache(maxsize=512)
def _read_json(content: bytes) -> Document:
    """Read a file in JSON syntax, where a name may stand several times."""
    try:
        document = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_with_repeated_names)
    except json.JSONDecodeError as error:
        return Document({}, (Fault(error.lineno, f"it is not JSON: {error.msg}"),))
    except (ValueError, RecursionError):
        return Document({}, (Fault(1, "it is not JSON"),))
    if isinstance(document, list):
        merged = _with_repeated_names(
            [pair for item in document for pair in as_object(item).items()]
        )
        return Document(merged)
    return Document(as_object(document))


def _with_repeated_names(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """Return an object; a name that stands several times has a list of its values."""
    found: dict[str, Json] = {}
    for name, value in pairs:
        if name not in found:
            found[name] = value
            continue
        found[name] = [*_as_list(found[name]), *_as_list(value)]
    return found


def _as_list(value: Json) -> list[Json]:
    if isinstance(value, list):
        return value
    return [value]


def _unreadable(path: Path, fault: Fault) -> Unreadable:
    block = " ".join((fault.type, *(f'"{label}"' for label in fault.labels))).strip()
    may_hide = fault.type in _WITH_FUNCTIONS
    if fault.type == "resource" and fault.labels:
        may_hide = fault.labels[0] == "aws_lambda_function"
    return Unreadable(path, fault.line, fault.problem, block, may_hide)


def _blocks(value: Json, labels: int) -> Iterator[tuple[tuple[str, ...], dict[str, Json]]]:
    """Yield labels and content of blocks: JSON syntax has an object or a list everywhere."""
    for item in _as_list(value):
        if not isinstance(item, dict):
            continue
        if labels == 0:
            yield (), item
            continue
        for name, inner in item.items():
            for names, block in _blocks(inner, labels - 1):
                yield (name, *names), block


def _add(
    merged: dict[str, Json], names: tuple[str, ...], block: dict[str, Json], *, overrides: bool
) -> None:
    """Add a block, or change the one that it overrides."""
    *outer, name = names
    level = merged
    for outer_name in outer:
        level = as_object(level.setdefault(outer_name, {}))
    if name == "locals":
        level[name] = {**section(level, name), **block}
    elif not overrides:
        level[name] = block
    elif name in level:
        level[name] = overridden(section(level, name), block)


def overridden(block: Mapping[str, Json], override: Mapping[str, Json]) -> dict[str, Json]:
    """Merge the block of an override file into the block that it overrides.

    An attribute is replaced. A nested block replaces all nested blocks of its type, also those that
    `dynamic` makes. `lifecycle` is merged argument by argument.
    """
    replaced = {name for name in override if name != "dynamic"}
    replaced.update(name for name, _ in dynamic_blocks(override))
    dynamic: list[Json] = []
    for name, content in dynamic_blocks(block):
        if name not in replaced:
            dynamic.append({name: dict(content)})
    for name, content in dynamic_blocks(override):
        dynamic.append({name: dict(content)})
    result = {name: value for name, value in block.items() if name not in replaced}
    result.update(override)
    result.pop("dynamic", None)
    if dynamic:
        result["dynamic"] = dynamic
    if "lifecycle" in block and "lifecycle" in override:
        result["lifecycle"] = {
            **first_block(block["lifecycle"]),
            **first_block(override["lifecycle"]),
        }
    return result


def dynamic_blocks(block: Mapping[str, Json]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """Yield type and content of the `dynamic` blocks in a block."""
    for labels, content in _blocks(block.get("dynamic"), 1):
        yield labels[0], content


def nested_blocks(value: Json) -> Iterator[Mapping[str, Json]]:
    """Yield nested blocks: JSON syntax has an object or a list of objects."""
    for _, block in _blocks(value, 0):
        yield block


def first_block(value: Json) -> Mapping[str, Json]:
    """Return the first, or only, one of several nested blocks; {} where there is none."""
    return next(nested_blocks(value), {})

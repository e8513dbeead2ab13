"""Modules of a Terraform configuration as an expression sees them: variables, locals, calls.

It reads files, each when it is needed, and runs nothing. What cannot be read is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, as_object, text
from terralive_terraform.discovery.files import downloaded_modules
from terralive_terraform.discovery.hcl.folders import configuration_files, read_file

_PATH: Final = re.compile(r"\$\{path\.(module|root|cwd)\}")
_SIMPLE: Final = re.compile(r"\$\{(var|local)\.([\w-]+)\}")
_MODULE: Final = re.compile(r"module\.([\w-]+)(?:\[[^]]*\])?\.")
# Locals may refer to each other in a circle only in a configuration that Terraform refuses.
_MOST_STEPS: Final = 20


@dataclass(frozen=True)
class Scope:
    """One call of a module.

    Attributes:
        directory: the module's folder.
        root: the folder that Terraform runs in.
        downloaded: the folders of downloaded modules by the keys of their calls.
        key: the key of the call in Terraform's manifest (`orders.jobs`); "" for the root module.
        arguments: the block of the call; {} for the root module.
        caller: the calling module; None for the root module.
    """

    directory: Path
    root: Path
    downloaded: Mapping[str, Path] = field(repr=False)
    key: str = ""
    arguments: Mapping[str, Json] = field(default_factory=dict, repr=False)
    caller: Scope | None = None

    @classmethod
    def of_root(cls, root: Path, data_dir: Path) -> Scope:
        """Return the root module."""
        root = root.resolve()
        return cls(root, root, downloaded_modules(root, data_dir))

    def of_resource(self, address: str) -> Scope | None:
        """Return the module of a resource, by its address; None where it is not on this machine."""
        scope: Scope | None = self
        for name in _MODULE.findall(address):
            if scope is not None:
                scope = scope.called(name)
        return scope

    @cached_property
    def document(self) -> dict[str, list[tuple[tuple[str, ...], dict[str, Json]]]]:
        """The blocks of all files by type, each with its labels."""
        found: dict[str, list[tuple[tuple[str, ...], dict[str, Json]]]] = {}
        for path in configuration_files(self.directory):
            content = read_file(path).content
            for kind, labels in _LABELS.items():
                found.setdefault(kind, []).extend(_blocks(content.get(kind), labels))
        return found

    def block(self, kind: str, *labels: str) -> dict[str, Json]:
        """Return a block; {} for none."""
        for names, body in self.document.get(kind, []):
            if names == labels:
                return body
        return {}

    def local(self, name: str) -> Json:
        """Return the value of a local; None where it is not known."""
        for _, body in self.document.get("locals", []):
            if name in body:
                return body[name]
        return None

    def called(self, name: str) -> Scope | None:
        """Return a module that this one calls; None where its folder is not on this machine."""
        call = self.block("module", name)
        key = f"{self.key}.{name}".lstrip(".")
        source = text(call, "source")
        directory = self.downloaded.get(key)
        if source.startswith(("./", "../")):
            directory = (self.directory / source).resolve()
        if directory is None:
            return None
        return Scope(directory, self.root, self.downloaded, key, call, self)

    def variable(self, name: str) -> tuple[Json, Scope]:
        """Return the value of a variable, and the module in which its expressions count."""
        if self.caller is not None and name in self.arguments:
            return self.arguments[name], self.caller
        return self.block("variable", name).get("default"), self

    def resolved(self, value: Json, steps: int = 0) -> str:
        """Return a text with the values of its variables, locals and paths, as far as known.

        What is not known stays as `${…}`.
        """
        if not isinstance(value, str):
            return ""
        content = _PATH.sub(self._folder, value)

        def known(match: re.Match[str]) -> str:
            kind, name = match.groups()
            if kind == "local":
                found, scope = self.local(name), self
            else:
                found, scope = self.variable(name)
            if not isinstance(found, str) or steps > _MOST_STEPS:
                return match[0]
            return scope.resolved(found, steps + 1)

        return _SIMPLE.sub(known, content)

    def _folder(self, match: re.Match[str]) -> str:
        if match[1] == "module":
            return str(self.directory)
        return str(self.root)


# The block types that are read, and the number of their labels.
_LABELS: Final = {
    "resource": 2,
    "data": 2,
    "module": 1,
    "variable": 1,
    "output": 1,
    "locals": 0,
}


def _blocks(
    value: Json, labels: int, names: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], dict[str, Json]]]:
    """Return the blocks of one type with their labels; each level is an object or a list."""
    several = value if isinstance(value, list) else [value]
    found: list[tuple[tuple[str, ...], dict[str, Json]]] = []
    for item in several:
        inner = as_object(item)
        if labels == len(names):
            found.append((names, inner))
            continue
        for name, below in inner.items():
            found += _blocks(below, labels, (*names, name))
    return found


def nested(block: Mapping[str, Json], name: str) -> dict[str, Json]:
    """Return a nested block, which JSON syntax gives as an object or as a list of one."""
    value = block.get(name)
    if isinstance(value, list) and value:
        value = value[0]
    return as_object(value)


def written(block: Json) -> str:
    """Return all expressions of a block in one text."""
    return json.dumps(block, ensure_ascii=False)

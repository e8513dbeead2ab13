"""Finds what reads the newest published version of a function in a configuration.

The AWS provider takes the newest published version for these attributes, whatever `publish` says:
https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lambda_function#attribute-reference

Expressions are searched as texts, from the resources and outputs that use a value, through local
values, arguments and outputs of modules. Where it is not certain, something reads the version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, as_object, section, text
from terralive_terraform.discovery.declared import FUNCTION_TYPE
from terralive_terraform.discovery.files import downloaded_modules
from terralive_terraform.discovery.hcl.folders import read_folder

_VERSION: Final = re.compile(r"\.(?:version|qualified_arn|qualified_invoke_arn)\b")
_KEYS: Final = r"(?:\[(?:[^\[\]]|\[[^\[\]]*\])*\]|\.\*)*"
_REFERENCE: Final = re.compile(
    rf"(?<![\w.-])(?P<kind>{FUNCTION_TYPE}|data\.{FUNCTION_TYPE}|module|var|local)\.(?P<name>[\w-]+)"
    rf"{_KEYS}(?P<attribute>\.[A-Za-z_][\w-]*)?"
)
# A whole function, with all of its attributes.
_WHOLE: Final = re.compile(rf"(?:\$\{{)?\s*{FUNCTION_TYPE}\.[\w-]+{_KEYS}\s*\}}?")
# What says nothing about a value.
_WITHOUT_VALUES: Final = ("depends_on", "provider", "providers", "source")
_LOCAL: Final = ("./", "../")
_MAX_DEPTH: Final = 12


def version_readers(
    root: Path, data_dir: Path, *, opentofu: bool = False
) -> Mapping[str, tuple[str, ...]]:
    """Return what reads the newest version of functions.

    Args:
        root: the root module's folder.
        data_dir: where Terraform has put downloaded modules.
        opentofu: whether OpenTofu reads the configuration, and not Terraform.

    Returns:
        The addresses of resources, data sources and outputs, by the address of the function. All of
        them are without instance keys.
    """
    root = root.resolve()
    reading = _Reading(_modules(root, downloaded_modules(root, data_dir), opentofu=opentofu))
    return {function: tuple(readers) for function, readers in reading.all().items()}


@dataclass(frozen=True, slots=True)
class _Module:
    """One call of a module: its blocks, and the arguments that it gets."""

    content: Mapping[str, Json]
    arguments: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class _Reading:
    """A configuration.

    Attributes:
        modules: the calls of modules by address with a dot (`module.orders.`); "" for the root.
    """

    modules: Mapping[str, _Module]

    def all(self) -> dict[str, dict[str, None]]:
        """Return the readers by function; see `version_readers`."""
        found: dict[str, dict[str, None]] = {}
        for prefix, module in self.modules.items():
            for address, expression in _used(module, is_root=not prefix):
                for function in self._read(prefix, _text(expression), (), 0):
                    found.setdefault(function, {})[f"{prefix}{address}"] = None
        return found

    def _read(
        self, prefix: str, expression: str, around: tuple[str, ...], depth: int
    ) -> Iterator[str]:
        """Yield the functions whose version an expression reads.

        Args:
            prefix: the address of the module that the expression is in, with a dot.
            expression: its text.
            around: the expressions that use its value.
            depth: how many there are.
        """
        module = self.modules.get(prefix)
        if module is None or depth > _MAX_DEPTH:
            return
        texts = (expression, *around)
        for found in _REFERENCE.finditer(expression):
            name, attribute = found["name"], found["attribute"] or ""
            if found["kind"] in {"local", "var", "module"}:
                for place, value in self._behind(prefix, found["kind"], name, attribute, texts):
                    yield from self._read(place, value, texts, depth + 1)
            elif _is_version(attribute, texts):
                if found["kind"] == FUNCTION_TYPE:
                    yield f"{prefix}{FUNCTION_TYPE}.{name}"
                else:
                    block = _block(module, "data", name)
                    yield from _functions(prefix, _text(block.get("function_name")))

    def _behind(
        self, prefix: str, kind: str, name: str, attribute: str, texts: tuple[str, ...]
    ) -> Iterator[tuple[str, str]]:
        """Yield the expressions that a name stands for, each with the module that it is in."""
        module = self.modules[prefix]
        if kind == "local":
            yield prefix, _text(section(module.content, "locals").get(name))
        elif kind == "module":
            inner = f"{prefix}module.{name}."
            for output in self._outputs(inner, attribute, texts):
                yield inner, output
        elif prefix:
            yield prefix.rpartition("module.")[0], _text(module.arguments.get(name))

    def _outputs(self, prefix: str, attribute: str, texts: tuple[str, ...]) -> Iterator[str]:
        """Yield the expressions of the outputs of a module that may be meant."""
        module = self.modules.get(prefix)
        if module is None:
            return
        for name, block in section(module.content, "output").items():
            is_named = re.compile(rf"\.{re.escape(name)}\b")
            if attribute == f".{name}" or (
                not attribute and any(is_named.search(item) for item in texts)
            ):
                yield _text(as_object(block).get("value"))


def _is_version(attribute: str, texts: tuple[str, ...]) -> bool:
    """Tell whether a reference to a function may be about its version."""
    if attribute:
        return _VERSION.fullmatch(attribute) is not None
    if any(_VERSION.search(item) for item in texts):
        return True
    return _WHOLE.fullmatch(texts[0]) is not None and len(texts) == 1


def _functions(prefix: str, expression: str) -> Iterator[str]:
    for found in _REFERENCE.finditer(expression):
        if found["kind"] == FUNCTION_TYPE:
            yield f"{prefix}{FUNCTION_TYPE}.{found['name']}"


def _used(module: _Module, *, is_root: bool) -> Iterator[tuple[str, Json]]:
    """Yield the address and an expression of everything that uses values of a module.

    Outputs of other modules are used only where something reads them.
    """
    if is_root:
        for name, block in section(module.content, "output").items():
            yield f"output.{name}", as_object(block).get("value")
    for mode, before in (("resource", ""), ("data", "data.")):
        for kind, by_label in section(module.content, mode).items():
            for label, block in as_object(by_label).items():
                for value in _values(block):
                    yield f"{before}{kind}.{label}", value
    for name, block in section(module.content, "module").items():
        for argument in ("count", "for_each"):
            yield f"module.{name}", as_object(block).get(argument)


def _values(block: Json) -> Iterator[Json]:
    for name, value in as_object(block).items():
        if name not in _WITHOUT_VALUES:
            yield value


def _block(module: _Module, mode: str, name: str) -> Mapping[str, Json]:
    return section(section(section(module.content, mode), FUNCTION_TYPE), name)


def _text(expression: Json) -> str:
    """Return an expression, or all expressions of a block, as one text."""
    if expression is None:
        return ""
    if isinstance(expression, str):
        return expression
    return json.dumps(expression)


def _modules(root: Path, downloaded: Mapping[str, Path], *, opentofu: bool) -> dict[str, _Module]:
    """Read the root module, and all modules that it calls and that are on this machine."""
    found: dict[str, _Module] = {}
    documents: dict[Path, Mapping[str, Json]] = {}
    # Prefix, key in the manifest, folder, arguments, and the folders around.
    pending: list[tuple[str, str, Path, Mapping[str, Json], tuple[Path, ...]]]
    pending = [("", "", root, {}, ())]
    for prefix, key, directory, arguments, outer in pending:
        if directory not in documents:
            read = read_folder(directory, lambda *_: True, opentofu=opentofu)
            documents[directory] = read.content
        content = documents[directory]
        found[prefix] = _Module(content, arguments)
        for name, value in section(content, "module").items():
            block = as_object(value)
            own_key = f"{key}.{name}".removeprefix(".")
            source = text(block, "source")
            folder = downloaded.get(own_key)
            if source.startswith(_LOCAL):
                folder = (directory / source).resolve()
            if folder is not None and folder not in (*outer, directory):
                # The list grows while it is read.
                around = (*outer, directory)
                pending.append((f"{prefix}module.{name}.", own_key, folder, block, around))
    return found

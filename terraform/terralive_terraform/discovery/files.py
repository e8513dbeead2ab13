"""Lambda functions of a Terraform configuration, module by module. It reads files and runs nothing.

Expressions are computed as far as they need no provider: variables, local values, paths. What only
Terraform can compute is not known here.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, items, read_object, section, text
from terralive_terraform.addresses import LOCALS
from terralive_terraform.discovery.archives import ARCHIVE, S3_OBJECTS, Archives
from terralive_terraform.discovery.block_values import repeats_never
from terralive_terraform.discovery.declared import (
    FUNCTION_TYPE,
    DeclaredFunction,
    blocks,
    declared_function,
    repetition,
)
from terralive_terraform.discovery.hcl.folders import FolderDocument, Unreadable, read_folder
from terralive_terraform.discovery.hcl.scope import Scope, compute
from terralive_terraform.discovery.hcl.values import Value
from terralive_terraform.discovery.hcl.words import words
from terralive_terraform.discovery.variables import GivenVariables, variable_values

# The types of resources and data sources that are read.
_TYPES: Final = {
    "resource": (FUNCTION_TYPE, ARCHIVE, "aws_lambda_layer_version", *S3_OBJECTS),
    "data": (ARCHIVE,),
}
# The beginnings of those types, read too, that say how a container image is built.
_OF_IMAGES: Final = ("aws_ecr_", "docker_", "null_", "terraform_")
# Resources that run a build, and the attributes and blocks that name what they build.
_BUILDS: Final = ("null_resource", "terraform_data")
_BUILD_WORDS: Final = ("triggers", "triggers_replace", "input", "provisioner")
_FUNCTION_WORDS: Final = ("filename", "source_code_hash")
# Arguments of a call that are no variables of the module.
_CALL_ARGUMENTS: Final = ("source", "version", "count", "for_each", "providers", "depends_on")
_LOCAL: Final = ("./", "../")
_NONE_GIVEN: Final = GivenVariables()


@dataclass(frozen=True, slots=True)
class Module:
    """One module's folder, and the functions that it declares.

    A module that is called several times has each of its functions once for every call. Functions
    that `count` or `for_each` certainly leave out are not there.

    Attributes:
        directory: its folder.
        functions: its functions.
        unreadable: what cannot be read in its files.
        words: the words of builds and of functions that may name the folder of code, by address.
        blocks: the blocks that a build's files may be named in, by address; local values by
            `LOCALS`.
    """

    directory: Path
    functions: tuple[DeclaredFunction, ...]
    unreadable: tuple[Unreadable, ...] = ()
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    blocks: Mapping[str, Mapping[str, Json]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """One call of a module; the root module counts as one.

    Attributes:
        directory: the module's folder.
        document: its configuration.
        scope: what its expressions refer to.
        prefix: its address with a dot (`module.orders.`), "" for the root module.
        key: the name of the call in Terraform's module manifest (`orders.jobs`).
        repeated: whether it, or a module around it, has `count` or `for_each`.
        outer: the folders of the modules around it.
        caller: the module that calls it; None for the root module.
        arguments: the block of the call; {} for the root module.
    """

    directory: Path
    document: FolderDocument
    scope: Scope = field(repr=False)
    prefix: str = ""
    key: str = ""
    repeated: bool = False
    outer: tuple[Path, ...] = ()
    caller: ModuleCall | None = field(repr=False, default=None)
    arguments: Mapping[str, Json] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the modules of a configuration.

    Attributes:
        root: the root module's folder.
        opentofu: whether OpenTofu reads the files.
        downloaded: the folders of downloaded modules by the keys of their calls.
    """

    root: Path
    opentofu: bool
    downloaded: Mapping[str, Path]

    def calls(self, given: GivenVariables) -> list[ModuleCall]:
        """Return the root module and all calls of modules whose folders are on this machine."""
        document = read_module(self.root, opentofu=self.opentofu)
        values = given.values(self.root, section(document.content, "variable"))
        found = [ModuleCall(self.root, document, _scope(document, values, self.root, self.root))]
        for call in found:
            # The list grows while it is read.
            found.extend(self._inner_calls(call))
        return found

    def _inner_calls(self, caller: ModuleCall) -> Iterator[ModuleCall]:
        for name, block in blocks(caller.document.content, "module"):
            key = f"{caller.key}.{name}" if caller.key else name
            directory = self._directory(caller, key, block)
            outer = (*caller.outer, caller.directory)
            if directory is None or directory in outer or repeats_never(block, caller.scope):
                continue
            document = read_module(directory, opentofu=self.opentofu)
            given: dict[str, Value] = {}
            for argument, value in block.items():
                if argument not in _CALL_ARGUMENTS:
                    given[argument] = compute(value, caller.scope)
            values = variable_values(section(document.content, "variable"), given)
            yield ModuleCall(
                directory,
                document,
                _scope(document, values, directory, self.root),
                prefix=f"{caller.prefix}module.{name}.",
                key=key,
                repeated=caller.repeated or repetition(block) is not None,
                outer=outer,
                caller=caller,
                arguments=block,
            )

    def _directory(self, caller: ModuleCall, key: str, block: Mapping[str, Json]) -> Path | None:
        source = compute(block.get("source"), caller.scope)
        if isinstance(source, str) and source.startswith(_LOCAL):
            return (caller.directory / source).resolve()
        return self.downloaded.get(key)


def module_calls(
    root: Path,
    data_dir: Path,
    *,
    opentofu: bool = False,
    given: GivenVariables = _NONE_GIVEN,
) -> tuple[ModuleCall, ...]:
    """Read the root module, which comes first, and all modules that it calls.

    Args:
        root: the root module's folder.
        data_dir: where Terraform has put downloaded modules.
        opentofu: whether OpenTofu reads the configuration, and not Terraform.
        given: where the root module's variables get their values.
    """
    root = root.resolve()
    return tuple(_Reader(root, opentofu, downloaded_modules(root, data_dir)).calls(given))


def modules_of(calls: Sequence[ModuleCall]) -> tuple[Module, ...]:
    """Return the modules of a configuration, each once, with the functions of all its calls."""
    archives = Archives(calls[0].directory)
    for call in calls:
        archives.add(call.scope)
    found: dict[Path, Module] = {}
    for call in calls:
        functions = tuple(_functions(call.scope, archives, call.prefix, repeated=call.repeated))
        module = found.setdefault(
            call.directory, Module(call.directory, (), call.document.unreadable)
        )
        found[call.directory] = replace(
            module,
            functions=(*module.functions, *functions),
            words={**module.words, **_words(call.scope, call.prefix)},
            blocks={**module.blocks, **_blocks(call.scope, call.prefix)},
        )
    return tuple(found.values())


def calls_downloaded_modules(root: Path, *, opentofu: bool = False) -> bool:
    """Tell whether a configuration calls a module that Terraform has to download first."""
    pending = [root.resolve()]
    for directory in pending:
        document = read_module(directory, opentofu=opentofu)
        for _, block in blocks(document.content, "module"):
            source = text(block, "source")
            if not source.startswith(_LOCAL):
                return True
            inner = (directory / source).resolve()
            if inner not in pending:
                # The list grows while it is read.
                pending.append(inner)
    return False


def read_module(directory: Path, *, opentofu: bool = False) -> FolderDocument:
    """Read those blocks of a module's folder that discovery needs."""
    return read_folder(directory, _is_wanted, opentofu=opentofu)


def _is_wanted(kind: str, labels: tuple[str, ...]) -> bool:
    if kind not in _TYPES or not labels:
        return True
    return labels[0] in _TYPES[kind] or labels[0].startswith(_OF_IMAGES)


def _scope(
    document: FolderDocument, variables: Mapping[str, Value], directory: Path, root: Path
) -> Scope:
    """Return what a module's expressions refer to.

    https://developer.hashicorp.com/terraform/language/expressions/references#filesystem-and-workspace-info
    """
    content = document.content
    return Scope(
        variables=variables,
        locals=section(content, "locals"),
        paths={"module": os.path.relpath(directory, root), "root": ".", "cwd": str(root)},
        resources=section(content, "resource"),
        data=section(content, "data"),
    )


def _words(scope: Scope, prefix: str) -> dict[str, tuple[str, ...]]:
    """Return the words that may name the folder of code, by the address of their resource."""
    found: dict[str, tuple[str, ...]] = {}
    for kind in (*_BUILDS, FUNCTION_TYPE):
        names = _FUNCTION_WORDS if kind == FUNCTION_TYPE else _BUILD_WORDS
        for label, block in blocks(scope.resources, kind):
            known = tuple(words([block.get(name) for name in names], scope))
            if known:
                found[f"{prefix}{kind}.{label}"] = known
    return found


def _blocks(scope: Scope, prefix: str) -> dict[str, Mapping[str, Json]]:
    """Return the blocks that name the files of builds, by address; the local values as one."""
    found: dict[str, Mapping[str, Json]] = {}
    if scope.locals:
        found[prefix + LOCALS] = scope.locals
    for kind in _TYPES["resource"]:
        for label, block in blocks(scope.resources, kind):
            found[f"{prefix}{kind}.{label}"] = block
    for kind in _TYPES["data"]:
        for label, block in blocks(scope.data, kind):
            found[f"{prefix}data.{kind}.{label}"] = block
    return found


def _functions(
    scope: Scope, archives: Archives, prefix: str, *, repeated: bool = False
) -> Iterator[DeclaredFunction]:
    """Yield the functions of one module.

    Args:
        scope: the module's resources, and what its expressions refer to.
        archives: the archives of the configuration.
        prefix: the module's address with a dot; "" for the root module.
        repeated: whether the module itself is repeated.
    """
    for label, block in blocks(scope.resources, FUNCTION_TYPE):
        if repeats_never(block, scope):
            continue
        function = declared_function(f"{prefix}{FUNCTION_TYPE}.{label}", block, scope)
        yield replace(
            function,
            path=function.path or archives.code_of(block, scope),
            module_repeated=repeated,
        )


def downloaded_modules(root: Path, data_dir: Path) -> dict[str, Path]:
    """Return the folders of downloaded modules by the keys of their calls.

    They are in the manifest that `terraform init` and `terraform get` write.
    """
    manifest = read_object(data_dir / "modules" / "modules.json")
    found: dict[str, Path] = {}
    for entry in items(manifest, "Modules"):
        if isinstance(entry, dict) and text(entry, "Dir"):
            found[text(entry, "Key")] = (root / text(entry, "Dir")).resolve()
    return found

"""Lambda functions of a Terraform configuration, module by module. It reads files and runs nothing.

`*.tf` files are parsed with python-hcl2, and only those that can matter: parsing is slow. What the
configuration computes (a handler from a variable) is not known here; terralive.toml can name it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import (
    Json,
    items,
    parse_object,
    read_object,
    section,
    text,
)
from terralive_terraform.discovery.declared import (
    FUNCTION_TYPE,
    DeclaredFunction,
    blocks,
    declared_function,
    literal,
    repetition,
)
from terralive_terraform.discovery.triggers import gateways, queue_visibilities

# Terraform reads `*_override.tf.json` last, and such a file can only change resources that other
# files declare: https://developer.hashicorp.com/terraform/language/files/override.
OVERRIDE_FILE: Final = "terralive_override.tf.json"
_SUFFIXES: Final = (".tf", ".tofu", ".tf.json", ".tofu.json")
_INTERESTING: Final = re.compile(
    rb'aws_lambda_function|archive_file|"aws_sqs_queue"|"?module"?\s*["{:]'
)
_ARCHIVE: Final = re.compile(r"^\$\{data\.archive_file\.([\w-]+)\.output_path\}$")
_PATH_REFERENCE: Final = re.compile(r"\$\{path\.(module|root)\}")
# The block types that are read, and the number of their labels (`resource "type" "name"`).
_LABELS: Final = {"resource": 2, "data": 2, "module": 1}


@dataclass(frozen=True, slots=True)
class Module:
    """One module's folder, and the functions that it declares.

    A module that is called several times has each of its functions once for every call.
    """

    directory: Path
    functions: tuple[DeclaredFunction, ...]


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a module.

    Attributes:
        directory: the module's folder.
        prefix: its address with a dot (`module.orders.`), "" for the root module.
        key: the name of the call in Terraform's module manifest (`orders.jobs`).
        repeated: whether it, or a module around it, has `count` or `for_each`.
    """

    directory: Path
    prefix: str = ""
    key: str = ""
    repeated: bool = False


def find_modules(root: Path, data_dir: Path) -> tuple[Module, ...]:
    """Find the root module and all modules that it calls.

    Args:
        root: the root module's folder.
        data_dir: where Terraform has put downloaded modules.

    Raises:
        ConfigurationError: a file cannot be read as Terraform.
    """
    found: dict[Path, list[DeclaredFunction]] = {}
    downloaded = downloaded_modules(root, data_dir)
    pending = [_Call(root.resolve())]
    while pending:
        call = pending.pop(0)
        document = read_module(call.directory)
        functions = functions_of(document, call.directory, call.prefix, repeated=call.repeated)
        found.setdefault(call.directory, []).extend(functions)
        pending.extend(_calls(document, call, downloaded))
    return tuple(Module(directory, tuple(functions)) for directory, functions in found.items())


def calls_downloaded_modules(root: Path) -> bool:
    """Tell whether a root module calls a module that Terraform has to download first."""
    for _, block in blocks(read_module(root), "module"):
        source = literal(text(block, "source"))
        if source is not None and not source.startswith((".", "/")):
            return True
    return False


def is_team_file(path: Path) -> bool:
    """Tell whether a file is a configuration file of the team's.

    Terraform reads no hidden files: https://developer.hashicorp.com/terraform/language/files.
    """
    name = path.name
    is_hidden = name.startswith(".")
    if is_hidden or not name.endswith(_SUFFIXES) or name == OVERRIDE_FILE:
        return False
    return path.is_file()


def read_module(directory: Path) -> dict[str, Json]:
    """Read a folder's configuration files into one document in Terraform's JSON syntax.

    Its `resource` and `data` are by type and name, its `module` by name.
    """
    merged: dict[str, Json] = {}
    if not directory.is_dir():
        return merged
    for path in sorted(directory.iterdir()):
        if not is_team_file(path):
            continue
        content = path.read_bytes()
        if not _INTERESTING.search(content):
            continue
        document = parse_file(path, content)
        for kind in _LABELS:
            _merge(merged, kind, document.get(kind))
    return merged


def parse_file(path: Path, content: bytes) -> Mapping[str, Json]:
    """Parse a file of Terraform's language, in either of its syntaxes.

    Raises:
        ConfigurationError: it cannot be read as Terraform.
    """
    if path.suffix == ".json":
        return parse_object(content)
    return parse_hcl(path, content)


def functions_of(
    document: Mapping[str, Json], directory: Path, prefix: str, *, repeated: bool = False
) -> Iterator[DeclaredFunction]:
    """Yield the functions of one module.

    Args:
        document: the module's configuration.
        directory: its folder.
        prefix: its address with a dot; "" for the root module.
        repeated: whether the module itself is repeated.
    """
    resources = section(document, "resource")
    archives = section(section(document, "data"), "archive_file")
    for label, block in blocks(resources, FUNCTION_TYPE):
        function = declared_function(f"{prefix}{FUNCTION_TYPE}.{label}", block)
        yield replace(
            function,
            path=function.path or _archived(block, archives, directory),
            module_repeated=repeated,
            queue_visibilities=queue_visibilities(label, function.function_name, resources),
            gateways=gateways(label, resources),
        )


def _calls(
    document: Mapping[str, Json], caller: _Call, downloaded: Mapping[str, Path]
) -> Iterator[_Call]:
    """Yield the calls in a module's configuration whose folders are on this machine."""
    for name, block in blocks(document, "module"):
        key = f"{caller.key}.{name}" if caller.key else name
        source = literal(text(block, "source")) or ""
        directory = downloaded.get(key)
        if source.startswith(("./", "../")):
            directory = (caller.directory / source).resolve()
        if directory is None:
            continue
        yield _Call(
            directory,
            prefix=f"{caller.prefix}module.{name}.",
            key=key,
            repeated=caller.repeated or repetition(block) is not None,
        )


def _archived(
    block: Mapping[str, Json], archives: Mapping[str, Json], directory: Path
) -> Path | None:
    """Follow `filename = data.archive_file.x.output_path` to the folder that is zipped."""
    match = _ARCHIVE.match(text(block, "filename"))
    if match is None:
        return None
    archive = section(archives, match[1])
    folder = _with_paths(text(archive, "source_dir"), directory)
    file = _with_paths(text(archive, "source_file"), directory)
    if not folder and file:
        folder = str((directory / file).parent)
    if literal(folder) is None:
        return None
    return (directory / folder).resolve()


def _with_paths(value: str, directory: Path) -> str:
    """Put a module's folder in the place of `${path.module}` and `${path.root}`."""
    return _PATH_REFERENCE.sub(lambda _: str(directory), value)


def _merge(merged: dict[str, Json], kind: str, value: Json) -> None:
    """Merge blocks of one type; Terraform accepts an object or a list of objects everywhere."""
    target = merged.setdefault(kind, {})
    several = value if isinstance(value, list) else [value]
    for item in several:
        if isinstance(item, dict) and isinstance(target, dict):
            _merge_levels(target, item, _LABELS[kind])


def _merge_levels(target: dict[str, Json], source: Mapping[str, Json], depth: int) -> None:
    for name, value in source.items():
        inner = value
        if isinstance(value, list) and value:
            # A block's body is a list of one object.
            inner = value[0]
        if depth > 1 and isinstance(inner, dict):
            below = target.setdefault(name, {})
            if isinstance(below, dict):
                _merge_levels(below, inner, depth - 1)
        else:
            target[name] = inner


@lru_cache(maxsize=256)
def parse_hcl(path: Path, content: bytes) -> Mapping[str, Json]:
    """Parse a `*.tf` file into Terraform's JSON syntax.

    It is slow, and one command reads a file for several purposes.

    Raises:
        ConfigurationError: `terraform-unreadable`.
    """
    import hcl2  # noqa: PLC0415  # costs every command 30 ms, and CDKTF apps never need it

    try:
        document = hcl2.loads(content.decode("utf-8"))
    except Exception as error:  # noqa: BLE001  # the parser raises whatever lark does
        lines = str(error).splitlines() or [type(error).__name__]
        raise ConfigurationError(
            "terraform-unreadable",
            f"{path} cannot be read as Terraform: {lines[0]}",
            hint="`terraform validate` says more. If Terraform reads the file, report it as a "
            "fault of terralive.",
        ) from None
    # A round trip makes plain JSON of the types that the parser uses.
    plain = _plain(json.loads(json.dumps(document)))
    if not isinstance(plain, dict):
        return {}
    return plain


def _plain(value: Json) -> Json:
    """Remove quotes and marks that newer releases of python-hcl2 leave in literals and blocks."""
    if isinstance(value, dict):
        return {
            str(_plain(name)): _plain(item)
            for name, item in value.items()
            if name != "__is_block__"
        }
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


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

"""Finds the Lambda functions of a Terraform configuration, module by module. Reads files, runs nothing.

`*.tf` is read with python-hcl2, and only where a file can matter: parsing is slow. What the
configuration computes (a handler from a variable) stays unknown, and terralive.toml can say it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.declared import DeclaredFunction, declared_function, literal
from terralive_terraform.discovery.roles import owner_for, policy_owners
from terralive_terraform.discovery.triggers import gateways, queue_visibilities
from terralive_terraform.documents import Json, parse_object, read_object, section, text

# Terraform reads `*_override.tf.json` last and lets it only change what other files define.
OVERRIDE_FILE: Final = "terralive_override.tf.json"
ADDED_FILE: Final = "terralive_added.tf.json"
OWN_FILES: Final = (OVERRIDE_FILE, ADDED_FILE)
_INTERESTING: Final = re.compile(
    rb'aws_lambda_function|archive_file|inline_policy|aws_iam_role_policies_exclusive|"aws_sqs_queue"'
    rb'|"?module"?\s*["{:]'
)
_ARCHIVE: Final = re.compile(r"^\$\{data\.archive_file\.([\w-]+)\.output_path\}$")


@dataclass(frozen=True, slots=True)
class Module:
    """One module's folder, the addresses it stands for, and the functions it defines.

    A function is in `functions` once for every address of its module.
    """

    directory: Path
    functions: tuple[DeclaredFunction, ...]


def find_modules(root: Path, data_dir: Path) -> tuple[Module, ...]:
    """Find the root module and all that it calls.

    Args:
        root: the root module's folder.
        data_dir: where Terraform has put downloaded modules.

    Raises:
        ConfigurationError: a file cannot be read as Terraform.
    """
    found: dict[Path, list[DeclaredFunction]] = {}
    downloaded = _downloaded(root, data_dir)
    pending = [(root.resolve(), "", "", False)]
    while pending:
        directory, address, key, repeated = pending.pop(0)
        document = read_module(directory)
        found.setdefault(directory, []).extend(
            functions_of(document, directory, address, repeated=repeated)
        )
        for name, block in _blocks(document, "module"):
            child_key = f"{key}.{name}" if key else name
            source = literal(text(block, "source")) or ""
            child = _module_directory(directory, source, downloaded.get(child_key))
            if child:
                again = (
                    repeated or block.get("count") is not None or block.get("for_each") is not None
                )
                pending.append((child, f"{address}module.{name}.", child_key, again))
    return tuple(Module(directory, tuple(functions)) for directory, functions in found.items())


def calls_downloaded_modules(root: Path) -> bool:
    """Tell whether a root module calls one that Terraform has to download first."""
    sources = [literal(text(block, "source")) for _, block in _blocks(read_module(root), "module")]
    return any(source and not source.startswith((".", "/")) for source in sources)


def read_module(directory: Path) -> dict[str, Json]:
    """Read a folder's configuration files into one document in Terraform's JSON syntax, `resource` by type and name."""
    merged: dict[str, Json] = {}
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if path.name in OWN_FILES or not path.name.endswith((".tf", ".tofu", ".tf.json")):
            continue
        content = path.read_bytes()
        if not _INTERESTING.search(content):
            continue
        document = parse_object(content) if path.suffix == ".json" else _parse_hcl(path, content)
        for kind in ("resource", "data", "module"):
            _merge(merged, kind, document.get(kind))
    return merged


def functions_of(
    document: Mapping[str, Json], directory: Path, prefix: str, *, repeated: bool = False
) -> Iterator[DeclaredFunction]:
    """Give the functions of one module's document; `repeated` says that the module itself is."""
    resources = section(document, "resource")
    archives = section(section(document, "data"), "archive_file")
    owners = policy_owners(resources)
    for label, block in section(resources, "aws_lambda_function").items():
        if not isinstance(block, dict):
            continue
        function = declared_function(f"{prefix}aws_lambda_function.{label}", block)
        yield replace(
            function,
            path=function.path or _archived(block, archives, directory),
            instanced=repeated or bool(function.repeated),
            policies_owner=owner_for(block, owners),
            queue_visibilities=queue_visibilities(label, function.function_name, resources),
            gateways=gateways(label, resources),
        )


def _archived(
    block: Mapping[str, Json], archives: Mapping[str, Json], directory: Path
) -> Path | None:
    """Follow `filename = data.archive_file.x.output_path` to the folder that is zipped."""
    match = _ARCHIVE.match(text(block, "filename"))
    archive = section(archives, match[1]) if match else {}

    def resolved(name: str) -> str:
        return re.sub(r"\$\{path\.(module|root)\}", lambda _: str(directory), text(archive, name))

    folder, file = resolved("source_dir"), resolved("source_file")
    if not folder and file:
        folder = str((directory / file).parent)
    return (directory / folder).resolve() if folder and literal(folder) else None


def _merge(merged: dict[str, Json], kind: str, value: Json) -> None:
    """Merge blocks by type and name; Terraform takes an object or a list of objects everywhere."""
    depth = 1 if kind == "module" else 2
    target = merged.setdefault(kind, {})
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict) and isinstance(target, dict):
            _merge_levels(target, item, depth)


def _merge_levels(target: dict[str, Json], source: Mapping[str, Json], depth: int) -> None:
    for name, value in source.items():
        inner = value[0] if isinstance(value, list) and value else value
        if depth > 1 and isinstance(inner, dict):
            below = target.setdefault(name, {})
            if isinstance(below, dict):
                _merge_levels(below, inner, depth - 1)
        else:
            target[name] = inner


def _blocks(document: Mapping[str, Json], kind: str) -> Iterator[tuple[str, dict[str, Json]]]:
    for name, block in section(document, kind).items():
        if isinstance(block, dict):
            yield name, block


def _parse_hcl(path: Path, content: bytes) -> dict[str, Json]:
    import hcl2  # noqa: PLC0415  # costs every command 30 ms, and CDKTF apps never need it

    try:
        document = hcl2.loads(content.decode("utf-8"))
    except Exception as error:  # noqa: BLE001  # the parser raises whatever lark does
        raise ConfigurationError(
            "terraform-unreadable",
            f"{path} cannot be read as Terraform: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            hint="`terraform validate` says more. If Terraform reads the file, report it as a fault of terralive.",
        ) from None
    # A round trip makes plain JSON of whatever types the parser uses.
    plain = _plain(json.loads(json.dumps(document)))
    return plain if isinstance(plain, dict) else {}


def _plain(value: Json) -> Json:
    """Take off the quotes and marks that newer releases of python-hcl2 leave on literals and blocks."""
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


def _downloaded(root: Path, data_dir: Path) -> dict[str, Path]:
    modules = read_object(data_dir / "modules" / "modules.json").get("Modules")
    entries = (
        [item for item in modules if isinstance(item, dict)] if isinstance(modules, list) else []
    )
    return {
        text(item, "Key"): (root / text(item, "Dir")).resolve()
        for item in entries
        if text(item, "Dir")
    }


def _module_directory(directory: Path, source: str, downloaded: Path | None) -> Path | None:
    if source.startswith(("./", "../")):
        return (directory / source).resolve()
    return downloaded

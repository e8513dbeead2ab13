"""Decides whether a folder needs `terraform init`: a hash of everything that an init depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.hcl.folders import read_file

# Blocks whose types name a provider; their content matters only to a plan.
_OF_PROVIDERS: Final = ("resource", "data", "ephemeral")
# Arguments without which no provider or module is installed, by the type of their block.
_ARGUMENTS: Final = {"provider": ("version",), "module": ("source", "version", "providers")}
_VALUES: Final = ("variable", "locals")
_SUFFIXES: Final = (".tf", ".tofu", ".tf.json", ".tofu.json")


def init_fingerprint(directory: Path, backend_config: Sequence[str] = ()) -> str:
    """Return a hash of everything that `terraform init` depends on in a folder, and its arguments.

    These are the backend, the providers that are named, and the sources of modules. An edit of a
    resource's arguments is no reason for an init. It does not cover the requirements of local
    modules, or of functions of providers. A plan that needs an init for those says so itself.
    """
    digest = hashlib.sha256(json.dumps(["3", *backend_config]).encode())
    for argument in backend_config:
        if "=" not in argument:
            digest.update(Path(argument).read_bytes())
    files = _configuration(directory)
    needs = [_init_needs(path) for path in files]
    for path, need in zip(files, needs, strict=True):
        digest.update(path.name.encode() + b"\0" + need + b"\0")
    if any(b"var." in need or b"local." in need for need in needs):
        # OpenTofu computes sources and backends of them:
        # https://opentofu.org/docs/intro/whats-new/#early-variablelocals-evaluation
        for path in files:
            content = read_file(path).content
            values = [content.get(kind) for kind in _VALUES]
            digest.update(json.dumps(values, sort_keys=True).encode() + b"\0")
    lock = directory / ".terraform.lock.hcl"
    if lock.is_file():
        digest.update(lock.read_bytes())
    else:
        digest.update(b"no lock file")
    return digest.hexdigest()


def _configuration(directory: Path) -> list[Path]:
    found: list[Path] = []
    for path in sorted(directory.iterdir()):
        is_hidden = path.name.startswith(".")
        if not is_hidden and path.name.endswith(_SUFFIXES) and path.is_file():
            found.append(path)
    return found


def _init_needs(file: Path) -> bytes:
    """Return the part of a configuration file that an init depends on."""
    document = read_file(file)
    if document.faults:
        return file.read_bytes()
    needs: list[Json] = [document.content.get("terraform")]
    for kind in _OF_PROVIDERS:
        types: set[str] = set()
        for name, block in _labelled(document.content.get(kind)):
            types.add(name)
            for _, instance in _labelled(block):
                # A provider that another name than the type's stands for.
                types.update(str(item) for _, item in _named(instance, ("provider",)))
        needs.append([*sorted(types)])
    for kind, names in _ARGUMENTS.items():
        for name, block in _labelled(document.content.get(kind)):
            needs.append([kind, name, *([key, value] for key, value in _named(block, names))])
    return json.dumps(needs, sort_keys=True).encode()


def _labelled(value: Json) -> Iterator[tuple[str, Json]]:
    """Yield the labels of blocks with what is in them: it is an object, or a list of them."""
    items = value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, dict):
            yield from item.items()


def _named(block: Json, names: Sequence[str]) -> Iterator[tuple[str, Json]]:
    """Yield the arguments of a block, or of a list of them, with these names."""
    for name, value in _labelled(block):
        if name in names:
            yield name, value

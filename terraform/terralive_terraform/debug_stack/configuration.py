"""The Terraform configuration of a debug stack, written to a folder.

The folder gets the resources (`cdk.tf.json`), the values of their variables, the backend and the
broker's zip. The resources are `template.tf.json`, which is part of terralive: no Node.js is
needed. A team's own subclass of `DebugStack` is synthesised instead, see `synth.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from terralive_stub.shared.atomic_files import write_atomically
from terralive_stub.shared.json_documents import Json, read_object
from terralive_terraform.artifacts import build_broker_zip
from terralive_terraform.debug_stack.adoption import (
    Import,
    Resource,
    import_blocks,
    resources,
    without_updates,
)
from terralive_terraform.debug_stack.settings import BackendSettings, DebugStackSettings
from terralive_terraform.debug_stack.synth import CustomStack, synthesised

TEMPLATE: Final = Path(__file__).with_name("template.tf.json")
LOCAL_STATE: Final = "terraform.tfstate"
_RESOURCES: Final = "cdk.tf.json"
# Terraform reads its values after those of `TF_VAR_` variables, so that they win:
# https://developer.hashicorp.com/terraform/language/values/variables#variable-definition-precedence
_VALUES: Final = "terraform.tfvars.json"
_IMPORTS: Final = "imports.tf.json"
_LOCAL: Final = BackendSettings("local", {"path": LOCAL_STATE})


def write_configuration(
    settings: DebugStackSettings,
    folder: Path,
    custom: CustomStack | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
) -> Path:
    """Write the configuration of one debug stack, and return its folder as an absolute path.

    A file whose content is the same already stays untouched.

    Args:
        settings: the settings.
        folder: the folder; it also holds the state, where that is local.
        custom: a team's own subclass of `DebugStack`; None for terralive's template.
        environment: the environment in which a subclass is synthesised.

    Raises:
        TerraliveError: a subclass could not be synthesised; see `synth.synthesised`.
    """
    folder = folder.resolve()
    build_broker_zip(folder)
    if custom is None:
        content = TEMPLATE.read_bytes()
    else:
        content = synthesised(custom, settings, folder, environment)
    # A killed run may have left it.
    (folder / _IMPORTS).unlink(missing_ok=True)
    _write(folder / _RESOURCES, content)
    write_values(settings, folder)
    backend = settings.backend or _LOCAL
    block: dict[str, Json] = {backend.type: dict(backend.config)}
    _write(folder / "backend.tf.json", _document({"terraform": {"backend": block}}))
    return folder


def write_values(settings: DebugStackSettings, folder: Path) -> None:
    """Write the values of the variables."""
    _write(folder / _VALUES, _document(settings.variables()))


def configuration_hash(settings: DebugStackSettings, folder: Path) -> str:
    """Return a hash of a configuration that `write_configuration` has written.

    It leaves out who has deployed the debug stack first and when: later values change nothing.
    """
    own = replace(settings, owner="", created="").variables()
    digest = hashlib.sha256(_document(own))
    for file in sorted([*folder.glob("*.tf.json"), *folder.glob("*.zip")]):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def resources_in(folder: Path) -> tuple[Resource, ...]:
    """Return the resources of a configuration that `write_configuration` has written."""
    return resources(read_object(folder / _RESOURCES), read_object(folder / _VALUES))


@contextmanager
def importing(folder: Path, imports: Sequence[Import], *, updates: bool) -> Iterator[None]:
    """Add `import` blocks to a configuration while the context lasts.

    Args:
        folder: the configuration's folder.
        imports: the resources to import.
        updates: whether the imported resources become what the configuration says.
    """
    if not imports:
        yield
        return
    content = (folder / _RESOURCES).read_bytes()
    if not updates:
        _write(folder / _RESOURCES, _document(without_updates(json.loads(content))))
    _write(folder / _IMPORTS, _document(import_blocks(imports)))
    try:
        yield
    finally:
        (folder / _IMPORTS).unlink(missing_ok=True)
        _write(folder / _RESOURCES, content)


def _write(file: Path, content: bytes) -> None:
    if not file.is_file() or file.read_bytes() != content:
        write_atomically(file, content)


def _document(content: Mapping[str, Json]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()

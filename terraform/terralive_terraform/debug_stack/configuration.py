"""The Terraform configuration of a debug stack, written to a folder.

The folder gets the resources (`cdk.tf.json`), the values of their variables, the backend and the
broker's zip. The resources are `template.tf.json`, which is part of terralive: no Node.js is
needed. A team's own subclass of `DebugStack` is synthesised instead, see `synth.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from terralive_stub.shared.atomic_files import write_atomically
from terralive_stub.shared.json_documents import Json
from terralive_terraform.artifacts import build_broker_zip
from terralive_terraform.debug_stack.settings import BackendSettings, DebugStackSettings
from terralive_terraform.debug_stack.synth import CustomStack, synthesised

TEMPLATE: Final = Path(__file__).with_name("template.tf.json")
# Terraform reads its values before those of `TF_VAR_` variables:
# https://developer.hashicorp.com/terraform/language/values/variables#variable-definition-precedence
_VALUES: Final = "terraform.tfvars.json"
_LOCAL: Final = BackendSettings("local", {"path": "terraform.tfstate"})


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
        resources = TEMPLATE.read_bytes()
    else:
        resources = synthesised(custom, settings, folder, environment)
    backend = settings.backend or _LOCAL
    files = {
        "cdk.tf.json": resources,
        _VALUES: _document(settings.variables()),
        "backend.tf.json": _document(
            {"terraform": {"backend": {backend.type: dict(backend.config)}}}
        ),
    }
    for name, content in files.items():
        file = folder / name
        if not file.is_file() or file.read_bytes() != content:
            write_atomically(file, content)
    return folder


def _document(content: dict[str, Json]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()

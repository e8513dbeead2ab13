"""References of a CDKTF program's stacks to each other, where their states are terralive's own.

A stack reads the outputs of another one from that one's backend. In the sandbox, the other stack
has a state of terralive's instead, and its backend is not what is deployed there.

https://developer.hashicorp.com/terraform/cdktf/concepts/stacks#cross-stack-references
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, read_object, section
from terralive_terraform.discovery.backends import declared_backend
from terralive_terraform.overrides.override_files import local_backend

_REMOTE_STATE: Final = "terraform_remote_state"


def remote_state_override(directory: Path, states: Mapping[Path, Path]) -> dict[str, Json]:
    """Return the override of a stack's data sources that read the state of another stack.

    Args:
        directory: the folder of the stack.
        states: the state files that replace the backends of stacks, by the stack's folder.
    """
    document = read_object(directory / "cdk.tf.json")
    changed: dict[str, Json] = {}
    for label, read in section(section(document, "data"), _REMOTE_STATE).items():
        block = section({label: read}, label)
        for other, state in states.items():
            backend = declared_backend(other)
            # cdktf writes the arguments of the backend as they are.
            known = backend is not None and backend.type == block.get("backend")
            if backend is not None and known and backend.arguments == block.get("config"):
                changed[label] = {"backend": "local", "config": local_backend(state)}
    if not changed:
        return {}
    return {"data": {_REMOTE_STATE: changed}}

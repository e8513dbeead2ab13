"""The process behind `synth.py`.

Settings as JSON on stdin, the stack's `cdk.tf.json` on stdout. No decisions.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TypedDict

from cdktf import App

from terralive_terraform.artifacts import Artifact
from terralive_terraform.debug_stack.settings import BackendSettings, DebugStackSettings, Endpoints
from terralive_terraform.debug_stack.stack import DebugStack
from terralive_terraform.documents import Json


class Request(TypedDict):
    settings: dict[str, Json]
    broker_path: str
    broker_hash: str


def main() -> None:
    """Synthesise one debug stack."""
    request: Request = json.loads(sys.stdin.buffer.read())
    stack_json = synthesise(request)
    sys.stdout.buffer.write(stack_json)


def synthesise(request: Request) -> bytes:
    with tempfile.TemporaryDirectory(prefix="terralive-synth-") as folder:
        app = App(outdir=folder, skip_validation=True)
        DebugStack(
            app,
            read_settings(request["settings"]),
            Artifact(Path(request["broker_path"]), request["broker_hash"]),
        )
        app.synth()
        return (Path(folder) / "stacks" / "debug" / "cdk.tf.json").read_bytes()


def read_settings(document: dict[str, Json]) -> DebugStackSettings:
    """Undo `dataclasses.asdict`."""
    backend, endpoints = document.pop("backend"), document.pop("endpoints")
    return DebugStackSettings(
        **document,  # type: ignore[arg-type]  # asdict of the same class, one process further
        backend=BackendSettings(**backend) if isinstance(backend, dict) else None,  # type: ignore[arg-type]  # likewise
        endpoints=Endpoints(**endpoints) if isinstance(endpoints, dict) else Endpoints(),  # type: ignore[arg-type]  # likewise
    )


if __name__ == "__main__":
    main()

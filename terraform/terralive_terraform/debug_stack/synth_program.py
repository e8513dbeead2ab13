"""The process that `synth.py` starts: settings as JSON on stdin, `cdk.tf.json` on stdout."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, TypedDict

from cdktf import App

from terralive_stub.shared.json_documents import Json
from terralive_terraform.artifacts import Artifact
from terralive_terraform.debug_stack.settings import BackendSettings, DebugStackSettings, Endpoints
from terralive_terraform.debug_stack.stack import DebugStack


class Request(TypedDict):
    """The JSON object on stdin."""

    settings: dict[str, Json]
    broker_path: str
    broker_hash: str


def main() -> None:
    """Synthesise one debug stack."""
    request: Request = json.loads(sys.stdin.buffer.read())
    stack_json = synthesise(request)
    sys.stdout.buffer.write(stack_json)


def synthesise(request: Request) -> bytes:
    """Return the content of the stack's `cdk.tf.json`."""
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
    """Return the settings that `dataclasses.asdict` has turned into a dictionary."""
    fields: dict[str, Any] = dict(document)
    fields["endpoints"] = Endpoints(**fields["endpoints"])
    if fields["backend"] is not None:
        fields["backend"] = BackendSettings(**fields["backend"])
    return DebugStackSettings(**fields)


if __name__ == "__main__":
    main()

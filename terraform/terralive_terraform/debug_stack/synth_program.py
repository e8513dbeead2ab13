"""The process that `synth.py` starts: settings as JSON on stdin, `cdk.tf.json` on stdout."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from cdktf import App

from terralive_terraform.artifacts import Artifact
from terralive_terraform.debug_stack.settings import BackendSettings, DebugStackSettings, Endpoints
from terralive_terraform.debug_stack.stack import DebugStack


def main() -> None:
    """Synthesise one debug stack."""
    request = json.loads(sys.stdin.buffer.read())
    broker = Artifact(Path(request["broker_path"]), request["broker_hash"])
    with tempfile.TemporaryDirectory(prefix="terralive-synth-") as folder:
        app = App(outdir=folder, skip_validation=True)
        DebugStack(app, read_settings(request["settings"]), broker)
        app.synth()
        stack = Path(folder) / "stacks" / "debug" / "cdk.tf.json"
        sys.stdout.buffer.write(stack.read_bytes())


def read_settings(fields: dict[str, Any]) -> DebugStackSettings:
    """Return the settings that `dataclasses.asdict` has turned into a dictionary."""
    fields["endpoints"] = Endpoints(**fields["endpoints"])
    if fields["backend"] is not None:
        fields["backend"] = BackendSettings(**fields["backend"])
    return DebugStackSettings(**fields)


if __name__ == "__main__":
    main()

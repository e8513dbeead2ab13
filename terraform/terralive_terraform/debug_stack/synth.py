"""Synthesis of the debug stack, only when something that it depends on has changed.

It runs in a process of its own. That keeps jsii out of the command line: its start-up time, its
threads and its output.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from terralive_stub.errors import TerraliveError
from terralive_stub.shared.atomic_files import write_atomically
from terralive_stub.shared.json_documents import Json
from terralive_terraform.artifacts import Artifact, build_broker_zip
from terralive_terraform.debug_stack.settings import DebugStackSettings
from terralive_terraform.runs.node import node_for_jsii

_STAMP: Final = "terralive-synth"
# Raised with every change of the resources in a debug stack.
_LAYOUT: Final = "2"


def synthesise_debug_stack(
    settings: DebugStackSettings, out: Path, *, environment: Mapping[str, str] = os.environ
) -> Path:
    """Write the debug stack's `cdk.tf.json` into the folder `out`, and return that folder.

    Raises:
        TerraliveError: there is no Node.js that is new enough, or the synthesis failed.
    """
    out = out.resolve()
    broker = build_broker_zip(out)
    target = out / "cdk.tf.json"
    stamp = out / _STAMP
    wanted = fingerprint(settings, broker)
    if target.is_file() and stamp.is_file() and stamp.read_text() == wanted:
        return out
    document = _synthesise(
        settings, broker, {**environment, "JSII_NODE": node_for_jsii(environment)}
    )
    write_atomically(target, document)
    write_atomically(stamp, wanted.encode())
    return out


def fingerprint(settings: DebugStackSettings, broker: Artifact) -> str:
    """Return a hash of everything that the stack depends on.

    Owner and date of creation do not count: only their first values are used.
    """
    facts: dict[str, Json] = {
        **asdict(settings),
        "created": "",
        "owner": "",
        "broker": broker.sha256_base64,
    }
    return hashlib.sha256(json.dumps([_LAYOUT, facts], sort_keys=True).encode()).hexdigest()


def _synthesise(
    settings: DebugStackSettings, broker: Artifact, environment: Mapping[str, str]
) -> bytes:
    # Terraform runs beside the zip. The bare name is the same in every checkout, so two checkouts
    # that share a state plan no change.
    request = {
        "settings": asdict(settings),
        "broker_path": broker.path.name,
        "broker_hash": broker.sha256_base64,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "terralive_terraform.debug_stack.synth_program"],
        input=json.dumps(request).encode(),
        env=dict(environment),
        capture_output=True,
        check=False,
    )
    if ended.returncode != 0:
        tail = "\n".join(ended.stderr.decode("utf-8", "replace").strip().splitlines()[-12:])
        raise TerraliveError(
            "synthesis-failed",
            f"The debug stack could not be synthesised.\n{tail}",
            hint="This is a fault of terralive or of its installation. Run "
            "`pip install --force-reinstall terralive`. If that does not help, report it with the "
            "lines above.",
        )
    return ended.stdout

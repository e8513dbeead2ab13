"""Decides whether a folder needs `terraform init`: a hash of everything that an init depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_SUFFIXES: Final = (".tf", ".tofu", ".tf.json", ".tofu.json")


def init_fingerprint(directory: Path, backend_config: Sequence[str] = ()) -> str:
    """Return a hash of everything that `terraform init` depends on in a folder, and its arguments.

    It does not cover the requirements of local modules. A plan that needs an init for those says
    so itself.
    """
    digest = hashlib.sha256(json.dumps(["2", *backend_config]).encode())
    for argument in backend_config:
        if "=" not in argument:
            digest.update(Path(argument).read_bytes())
    for path in sorted(directory.iterdir()):
        is_hidden = path.name.startswith(".")
        if is_hidden or not path.name.endswith(_SUFFIXES) or not path.is_file():
            continue
        content = path.read_bytes()
        if path.suffix == ".json":
            content = _init_needs(content)
        digest.update(path.name.encode() + b"\0" + content + b"\0")
    lock = directory / ".terraform.lock.hcl"
    if lock.is_file():
        digest.update(lock.read_bytes())
    else:
        digest.update(b"no lock file")
    return digest.hexdigest()


def _init_needs(content: bytes) -> bytes:
    """Return the part of a `*.tf.json` file that an init depends on."""
    try:
        document = json.loads(content)
    except ValueError:
        return content
    if not isinstance(document, dict):
        return content
    types = {}
    for name in ("resource", "data"):
        if isinstance(document.get(name), dict):
            types[name] = sorted(document[name])
    needs = {name: document.get(name) for name in ("terraform", "module")}
    return json.dumps([types, needs], sort_keys=True).encode()

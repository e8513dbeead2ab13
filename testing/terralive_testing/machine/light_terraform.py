"""Terraform with less work in each run. The tests run it hundreds of times.

Terraform reads a whole provider plugin in every run to compare it with the lock file, and starts it
several times. The AWS provider has 700 MB. In the light mirror, a plugin is a script of two lines
that becomes the real plugin. Nothing else about Terraform and its providers changes.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from terralive_testing.machine.provider_mirror import VARIABLE

_NAME: Final = "light-mirror-"
_SMALLEST: Final = 1_000_000  # bytes; a smaller file is read faster than a script is started
# Terraform and its providers end before the memory that they could collect matters. The limit
# turns the collection on again. https://pkg.go.dev/runtime#hdr-Environment_Variables
_NO_COLLECTION: Final = {"GOGC": "off", "GOMEMLIMIT": "1GiB"}


def use_light_terraform() -> None:
    """Let the Terraform runs of this process's children take less CPU time."""
    for name, value in _NO_COLLECTION.items():
        os.environ.setdefault(name, value)
    named = os.environ.get(VARIABLE)
    if not named or Path(named).name.startswith(_NAME):
        return
    os.environ[VARIABLE] = str(light_mirror(Path(named), Path(sys.prefix)))


def light_mirror(mirror: Path, parent: Path) -> Path:
    """Return a folder in `parent` with the light form of a mirror; it is made only once."""
    mirror = mirror.resolve()
    files = sorted(_files(mirror))
    about = "\n".join(f"{file} {file.stat().st_size}" for file in files)
    target = parent / f"{_NAME}{hashlib.sha256(about.encode()).hexdigest()[:12]}"
    if target.is_dir():
        return target
    fresh = Path(tempfile.mkdtemp(prefix=_NAME, dir=parent))
    for file in files:
        light = fresh / file.relative_to(mirror)
        light.parent.mkdir(parents=True, exist_ok=True)
        is_plugin = file.name.startswith("terraform-provider-") and os.access(file, os.X_OK)
        if is_plugin and file.stat().st_size >= _SMALLEST:
            light.write_text(f'#!/bin/sh\nexec {shlex.quote(str(file))} "$@"\n', "utf-8")
            light.chmod(0o755)
        else:
            light.symlink_to(file)
    try:
        fresh.rename(target)
    except OSError:
        # Another process has made it meanwhile.
        shutil.rmtree(fresh)
    return target


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder, followlinks=True):
        for name in names:
            yield Path(parent, name)

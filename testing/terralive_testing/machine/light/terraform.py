"""Terraform with less work in each run. The tests run it hundreds of times.

Terraform reads a whole provider plugin in every run to compare it with the lock file, and starts it
several times: first for its schema, then for what is to be done. The AWS provider has 700 MB and a
schema of 1,500 kinds of resources. In the light mirror, a plugin is a short script. In the first
start of a run it becomes a program that tells the schema of the kinds of which the tests speak
(`schema_server`), in all others the real plugin, which does all the work: it validates, plans,
applies. Nothing else about Terraform and its providers changes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from terralive_testing.machine.light import schema_server
from terralive_testing.machine.light.schema_recording import kinds_in, recorded_schema
from terralive_testing.machine.provider_mirror import VARIABLE

_NAME: Final = "light-terraform-"
_MIRROR: Final = "mirror"
_RUNS: Final = "runs"  # has a file for each run of Terraform that has been told the schema
_SMALLEST: Final = 1_000_000  # bytes; a smaller file is read faster than a script is started
# Terraform and its providers end before the memory that they could collect matters. The limit
# turns the collection on again. https://pkg.go.dev/runtime#hdr-Environment_Variables
_NO_COLLECTION: Final = {"GOGC": "off", "GOMEMLIMIT": "1GiB"}

_REPOSITORY: Final = Path(__file__).resolve().parents[4]
# Where the kinds of resources are named that tests may use.
_SOURCES: Final = (
    *(
        _REPOSITORY / name
        for name in (
            "bench",
            "cli",
            "examples",
            "sandbox",
            "scripts",
            "terraform",
            "testing",
            "tests",
        )
    ),
    _REPOSITORY.parent / "shared" / "configurations",
)
_SUFFIXES: Final = frozenset({".js", ".json", ".py", ".tf", ".toml", ".ts"})
_VALID: Final = dt.timedelta(days=3650)

_PLUGIN: Final = """#!/bin/sh
exec {plugin} "$@"
"""
# A run of Terraform is known by its process and the time of its start, field 22 of this file:
# https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
# `set -C` lets only one start create the file.
_PLUGIN_WITH_SCHEMA: Final = """#!/bin/sh
if read -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ time _ 2>/dev/null </proc/$PPID/stat
then
    set -C
    if {{ true >{runs}/$PPID-$time; }} 2>/dev/null; then
        trap '' INT
        exec {python} -I -S {server} {schema}
    fi
fi
exec {plugin} "$@"
"""


def use_light_terraform() -> None:
    """Let the Terraform runs of this process's children take less CPU time."""
    for name, value in _NO_COLLECTION.items():
        os.environ.setdefault(name, value)
    named = os.environ.get(VARIABLE)
    if not named or Path(named).parent.name.startswith(_NAME):
        return
    os.environ[VARIABLE] = str(light_mirror(Path(named), Path(sys.prefix)))


def light_mirror(mirror: Path, parent: Path) -> Path:
    """Return the light form of a mirror; it is made only once in a folder of `parent`."""
    mirror = mirror.resolve()
    files = sorted(_files(mirror))
    kinds = kinds_in(_SOURCES, _SUFFIXES)
    about = "\n".join([*(f"{file} {file.stat().st_size}" for file in files), *sorted(kinds)])
    target = parent / f"{_NAME}{hashlib.sha256(about.encode()).hexdigest()[:12]}"
    if target.is_dir():
        _forget_ended_runs(target)
        return target / _MIRROR
    fresh = Path(tempfile.mkdtemp(prefix=_NAME, dir=parent))
    for file in files:
        light = fresh / _MIRROR / file.relative_to(mirror)
        light.parent.mkdir(parents=True, exist_ok=True)
        is_plugin = file.name.startswith("terraform-provider-") and os.access(file, os.X_OK)
        if is_plugin and file.stat().st_size >= _SMALLEST:
            light.write_text(_script(file, kinds, fresh, target), "utf-8")
            light.chmod(0o755)
        else:
            light.symlink_to(file)
    try:
        fresh.rename(target)
    except OSError:
        # Another process has made it meanwhile.
        shutil.rmtree(fresh)
    return target / _MIRROR


def _script(plugin: Path, kinds: frozenset[str], fresh: Path, target: Path) -> str:
    """Return the script that takes the place of a plugin. Its schema is written to `fresh`.

    Args:
        plugin: the plugin.
        kinds: the kinds of AWS resources that the schema is to have.
        fresh: the folder for the light mirror and what belongs to it.
        target: where that folder will be.
    """
    # Every test process imports this module, and one of them makes the mirror.
    from terralive_testing.machine.certificates import Authority  # noqa: PLC0415

    schema = recorded_schema(plugin, kinds)
    if schema is None:
        return _PLUGIN.format(plugin=shlex.quote(str(plugin)))
    folder = fresh / plugin.name
    runs = folder / _RUNS
    runs.mkdir(parents=True)
    (folder / schema_server.SCHEMA).write_bytes(schema)
    Authority.create(folder, "localhost", valid=_VALID)
    final = target / plugin.name
    values = {
        "plugin": plugin,
        "runs": final / runs.name,
        "python": sys.executable,
        "server": schema_server.__file__,
        "schema": final,
    }
    quoted = {name: shlex.quote(str(value)) for name, value in values.items()}
    return _PLUGIN_WITH_SCHEMA.format(**quoted)


def _forget_ended_runs(folder: Path) -> None:
    """Remove the files of runs that have ended."""
    for file in folder.glob(f"*/{_RUNS}/*"):
        if not Path("/proc", file.name.partition("-")[0]).exists():
            file.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder, followlinks=True):
        for name in names:
            yield Path(parent, name)

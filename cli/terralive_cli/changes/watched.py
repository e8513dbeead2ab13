"""The files whose change is a change of the Terraform configuration, and a look at them.

Of `*.tf` files, these are the configuration and variables files of all modules, given variables and
backend files, and what `file`, `templatefile` and the like read; of a CDKTF program, the sources in
its folder, without the code of live functions. terralive.toml counts, too.

Terraform's own files (data folder, lock file, states), terralive's override file, hidden files and
those of editors do not count. Neither do files of which only a hash is read: these are builds.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import FILE
from terralive_cli.deploy.target import Stage
from terralive_cli.unchanged.files import FileInputs, Snapshot, files_below, take
from terralive_cli.unchanged.inputs import absolute
from terralive_terraform.data_folder import data_folder
from terralive_terraform.discovery.files import module_calls
from terralive_terraform.discovery.hcl.folders import is_opentofu
from terralive_terraform.discovery.variables import GivenVariables
from terralive_terraform.inputs import configuration
from terralive_terraform.inputs.calls import Kind, Read
from terralive_terraform.runs.arguments import VAR_FILE
from terralive_terraform.runs.environment import option_values

_SOURCES: Final = (
    ".py",
    ".ts",
    ".mts",
    ".cts",
    ".js",
    ".mjs",
    ".cjs",
    ".go",
    ".java",
    ".kt",
    ".cs",
)
# Modules that the program calls, and their variables.
_MODULES: Final = (".tf", ".tf.json", ".tfvars", ".tfvars.json")
_PROGRAMS_SETTINGS: Final = "cdktf.json"
_PROGRAMS_OUTPUT: Final = "cdktf.out"


@dataclass(frozen=True, slots=True)
class WatchedFiles:
    """The files of a configuration.

    Attributes:
        inputs: the files, and the folders of modules.
        program: the folder of a CDKTF program; None where there is none.
        left_out: folders in it that do not count.
    """

    inputs: FileInputs
    program: Path | None = None
    left_out: frozenset[Path] = frozenset()

    def look(self, known: Snapshot | None = None) -> Snapshot:
        """Look at the files.

        Args:
            known: the last look. What is untouched since then is not read again.

        Raises:
            TooManyFilesError: a folder has too many files.
            OSError: a folder cannot be read.
        """
        inputs = self.inputs
        if self.program is not None:
            sources = frozenset(self._sources(self.program))
            inputs = FileInputs(inputs.files | sources, inputs.modules, inputs.trees)
        snapshot = take(inputs, time.time_ns(), known)
        marks = {
            path: mark
            for path, mark in snapshot.marks.items()
            if path in inputs.files or _counts(path)
        }
        return Snapshot(snapshot.taken_ns, marks)

    def _sources(self, program: Path) -> Iterator[Path]:
        for path in files_below(program, self.left_out):
            if path.name.endswith((*_SOURCES, *_MODULES)) or path.name == _PROGRAMS_SETTINGS:
                yield path


def watched_files(stage: Stage, code: Collection[Path]) -> WatchedFiles:
    """Return the files whose change is a change of the stage's configuration.

    Args:
        stage: the stage.
        code: the folders of the live functions' code.

    Raises:
        TerraliveError, OSError: the configuration cannot be read.
    """
    program = stage.config.terraform
    settings = frozenset({stage.config.project / FILE})
    if program.app:
        root = program.dir.resolve()
        # Code around the program is watched with it.
        left_out = {folder for folder in code if folder != root and folder not in root.parents}
        left_out.add(root / _PROGRAMS_OUTPUT)
        return WatchedFiles(FileInputs(settings), root, frozenset(left_out))
    return WatchedFiles(_of_folder(stage, program.dir.resolve(), settings, frozenset(code)))


def _of_folder(
    stage: Stage, root: Path, settings: frozenset[Path], code: frozenset[Path]
) -> FileInputs:
    """Return the files of a folder of `*.tf` files and of its modules."""
    program = stage.config.terraform
    opentofu = is_opentofu(program.binary)
    data_dir = data_folder(root, stage.environment)
    given = GivenVariables(program.plan_arguments, stage.environment)
    calls = module_calls(root, data_dir, opentofu=opentofu, given=given)
    files = {*settings, *program.given_var_files}
    for value in option_values(stage.environment, VAR_FILE, "plan"):
        files.add(absolute(root, value))
    for value in program.backend_config:
        if "=" not in value:
            files.add(absolute(root, value))
    trees: set[Path] = set()
    for read in configuration.reads_of(calls, root, opentofu=opentofu):
        if not isinstance(read, Read) or read.kind not in (Kind.CONTENT, Kind.TEMPLATE):
            continue
        path = absolute(root, read.path)
        if path.name.endswith(_SOURCES) and not code.isdisjoint(path.parents):
            # Code of a live function, of which Terraform makes an archive.
            continue
        if read.is_file:
            files.add(path)
        elif path != root:
            trees.add(path)
    # Nobody edits modules that were downloaded.
    modules = {call.directory for call in calls if data_dir not in call.directory.parents}
    return FileInputs(frozenset(files), frozenset(modules), frozenset(trees), left_out=code)


def _counts(path: Path) -> bool:
    """Tell whether a file of a module counts: Terraform reads no hidden configuration files.

    https://developer.hashicorp.com/terraform/language/files
    """
    is_hidden = path.name.startswith(".")
    return not is_hidden or path.name.endswith((".tfvars", ".tfvars.json"))

"""Copies of modules, in which functions become live, in a folder of terralive's.

Terraform does not look for the folder of a module again once `terraform init` has noted it in a
manifest, `modules/modules.json` in the data folder. So a plan with a data folder of terralive's,
whose manifest names copies, reads the copies. The team's module folders, which other configurations
and other people use at the same time, are never written to. Each call of a module has its own copy.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_stub.errors import TerraformError
from terralive_stub.shared.atomic_files import write_atomically
from terralive_stub.shared.json_documents import Json, as_object, items, read_object, text
from terralive_terraform.discovery.hcl.folders import is_team_file
from terralive_terraform.overrides.module_path import (
    in_document,
    in_json_syntax,
    in_native_syntax,
)
from terralive_terraform.overrides.team_folder import write_override
from terralive_terraform.runs.added_files import PlanView
from terralive_terraform.runs.process import private_directory
from terralive_terraform.substitution.rules import (
    Substitution,
    override_document,
)

# The parts of a data folder that a plan reads: the backend, the workspace and the providers.
_SHARED: Final = ("terraform.tfstate", "environment", "providers")
_MANIFEST: Final = Path("modules") / "modules.json"


@dataclass(frozen=True, slots=True)
class ModuleCopies:
    """The copies for one plan.

    Attributes:
        directory: the root module's folder.
        work: a folder of terralive's, which holds the copies.
        changes: the substitutions by address in the module, for each call of one. A call is
            named as in Terraform's manifest: `orders.jobs` for `module.orders.module.jobs`.
    """

    directory: Path
    work: Path
    changes: Mapping[str, Mapping[str, Substitution]]

    def are_possible(self, data_dir: Path) -> bool:
        """Tell whether `terraform init` has noted all modules that are to be copied."""
        return self.changes.keys() <= _folders(_manifest(data_dir)).keys()

    def written(self, data_dir: Path) -> PlanView:
        """Write the copies, and a data folder whose manifest names them.

        Args:
            data_dir: the data folder that `terraform init` has written.

        Raises:
            TerraformError: `module-not-installed`.
        """
        manifest = _manifest(data_dir)
        folders = _folders(manifest)
        missing = sorted(self.changes.keys() - folders.keys())
        if missing:
            raise TerraformError(
                "module-not-installed",
                f"Terraform has not installed these modules: {', '.join(missing)}.",
                hint=f"Run `terraform init` in {self.directory}, then the same command again.",
            )
        shutil.rmtree(self.work, ignore_errors=True)
        own_data_dir = private_directory(self.work / "data")
        for name in _SHARED:
            if (data_dir / name).exists():
                (own_data_dir / name).symlink_to((data_dir / name).resolve())
        copies: dict[str, str] = {}
        for number, (call, substitutions) in enumerate(sorted(self.changes.items())):
            copies[call] = str(private_directory(self.work / "copies" / str(number)))
            self._copy(folders[call], Path(copies[call]), substitutions)
        write_atomically(own_data_dir / _MANIFEST, _with_copies(manifest, copies))
        return PlanView(own_data_dir, {copy: folders[call] for call, copy in copies.items()})

    def _copy(self, folder: str, copy: Path, substitutions: Mapping[str, Substitution]) -> None:
        """Copy a module's configuration files, and write its override file beside them.

        All other files stay where they are: `path.module` names the original folder.
        """
        for file in (self.directory / folder).iterdir():
            if not is_team_file(file):
                continue
            # Line ends stay as they are: they are part of the texts in the file.
            content = file.read_bytes().decode("utf-8", "surrogateescape")
            if file.suffix == ".json":
                in_copy = in_json_syntax(content, folder)
            else:
                in_copy = in_native_syntax(content, folder)
            (copy / file.name).write_bytes(in_copy.encode("utf-8", "surrogateescape"))
        # It may repeat an expression of the module's.
        override = in_document(override_document(substitutions), folder)
        write_override(copy, as_object(override))


@dataclass(frozen=True, slots=True)
class CopiedModules:
    """The `AddedFiles` of a configuration whose root module's folder is terralive's own."""

    copies: ModuleCopies

    def are_possible(self, data_dir: Path) -> bool:
        """Tell whether `terraform init` has noted all modules in which functions change."""
        return self.copies.are_possible(data_dir)

    def during_init(self) -> AbstractContextManager[tuple[int, ...]]:
        """Add nothing."""
        return nullcontext(())

    def during_plan(self, data_dir: Path) -> AbstractContextManager[PlanView]:
        """Add copies of the modules in which functions change."""
        if not self.copies.changes:
            return nullcontext(PlanView(data_dir))
        return nullcontext(self.copies.written(data_dir))

    def variables(self, data_dir: Path) -> Mapping[str, str]:
        """Return none."""
        del data_dir
        return {}


def _manifest(data_dir: Path) -> dict[str, Json]:
    return read_object(data_dir / _MANIFEST)


def _folders(manifest: Mapping[str, Json]) -> dict[str, str]:
    """Return the folders of module calls, as Terraform names them."""
    found: dict[str, str] = {}
    for entry in items(manifest, "Modules"):
        if isinstance(entry, dict):
            found[text(entry, "Key")] = text(entry, "Dir")
    return found


def _with_copies(manifest: Mapping[str, Json], copies: Mapping[str, str]) -> bytes:
    entries: list[Json] = []
    for entry in items(manifest, "Modules"):
        if isinstance(entry, dict) and text(entry, "Key") in copies:
            entries.append({**entry, "Dir": copies[text(entry, "Key")]})
        else:
            entries.append(entry)
    return json.dumps({**manifest, "Modules": entries}).encode()

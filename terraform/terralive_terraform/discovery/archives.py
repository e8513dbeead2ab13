"""The local code folder of a function whose archive the configuration makes with `archive_file`.

A help where a plan does not know the code. It reads no file: what is a folder on this machine, the
caller finds out. https://registry.terraform.io/providers/hashicorp/archive/latest/docs
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, section
from terralive_terraform.discovery.hcl.folders import nested_blocks
from terralive_terraform.discovery.hcl.scope import (
    Scope,
    compute,
    compute_expression,
    expression_of,
    referenced_resource,
)
from terralive_terraform.discovery.hcl.syntax import Call

ARCHIVE: Final = "archive_file"
S3_OBJECTS: Final = ("aws_s3_object", "aws_s3_bucket_object")


@dataclass(slots=True)
class Archives:
    """The archives of a configuration.

    Attributes:
        root: the folder that Terraform runs in. Relative paths start there, also in other modules.
    """

    root: Path
    # The folders that are archived, by the absolute path of the archive; None where archives of
    # one path have several folders.
    _folders: dict[str, Path | None] = field(default_factory=dict)

    def add(self, scope: Scope) -> None:
        """Add the archives that one module declares."""
        for declared in (scope.data, scope.resources):
            for block in section(declared, ARCHIVE).values():
                if not isinstance(block, dict):
                    continue
                path = compute(block.get("output_path"), scope)
                folder = self._archived(block, scope)
                if not isinstance(path, str) or folder is None:
                    continue
                known = self._folders.setdefault(self._absolute(path), folder)
                if known != folder:
                    self._folders[self._absolute(path)] = None

    def code_of(self, function: Mapping[str, Json], scope: Scope) -> Path | None:
        """Return the folder that a function's archive is made from; None where that is not known.

        Args:
            function: the function's block, as the configuration has it.
            scope: what the block refers to.
        """
        for source in self._sources(function, scope):
            folder = self._folder_of(source, scope)
            if folder is not None:
                return folder
        return None

    def _sources(self, function: Mapping[str, Json], scope: Scope) -> Iterator[Json]:
        """Yield expressions that name a function's archive."""
        yield function.get("filename")
        yield function.get("source_code_hash")
        if "s3_key" in function:
            for kind in S3_OBJECTS:
                for label, block in section(scope.resources, kind).items():
                    if isinstance(block, dict) and _is_key_of(function, kind, label, block, scope):
                        yield block.get("source")

    def _folder_of(self, source: Json, scope: Scope) -> Path | None:
        if source is None:
            return None
        resource = referenced_resource(source, scope)
        if resource is not None and resource.type == ARCHIVE:
            return self._archived(resource.block, scope)
        match expression_of(source):
            case Call("filebase64sha256" | "filesha256", (argument,)):
                path = compute_expression(argument, scope)
            case _:
                path = compute(source, scope)
        if isinstance(path, str):
            return self._folders.get(self._absolute(path))
        return None

    def _archived(self, archive: Mapping[str, Json], scope: Scope) -> Path | None:
        """Return the folder that an archive is made from."""
        folder = compute(archive.get("source_dir"), scope)
        if isinstance(folder, str) and folder:
            return self._resolved(folder)
        file = compute(archive.get("source_file"), scope)
        if isinstance(file, str) and file:
            return self._resolved(file).parent
        return self._of_sources(archive, scope)

    def _of_sources(self, archive: Mapping[str, Json], scope: Scope) -> Path | None:
        """Return the folder whose files the `source` blocks of an archive name.

        A block counts where its content is a file and its name in the archive ends the file's path.
        Blocks whose content is no file may be there beside it; files of several folders may not.
        """
        folders: set[Path] = set()
        for source in nested_blocks(archive.get("source")):
            content = expression_of(source.get("content"))
            name = compute(source.get("filename"), scope)
            match content:
                case Call("file" | "templatefile", (argument, *_)):
                    file = compute_expression(argument, scope)
                case _:
                    continue
            if not isinstance(file, str) or not isinstance(name, str):
                return None
            path = self._resolved(file)
            parts = Path(name).parts
            if path.parts[-len(parts) :] != parts:
                return None
            folders.add(path.parents[len(parts) - 1])
        if len(folders) != 1:
            return None
        return folders.pop()

    def _resolved(self, path: str) -> Path:
        return (self.root / path).resolve()

    def _absolute(self, path: str) -> str:
        return os.path.abspath(self.root / path)  # noqa: PTH100  # links stay: it is only a name


def _is_key_of(
    function: Mapping[str, Json], kind: str, label: str, block: Mapping[str, Json], scope: Scope
) -> bool:
    """Tell whether a function's code is an object that the module uploads."""
    resource = referenced_resource(function["s3_key"], scope)
    if resource is not None:
        return (resource.type, resource.label) == (kind, label)
    key = compute(function["s3_key"], scope)
    return isinstance(key, str) and key == compute(block.get("key"), scope)

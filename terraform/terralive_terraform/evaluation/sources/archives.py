"""Archives of a plan, and the local files that they are made of.

An archive is an `archive_file`, or a package of terraform-aws-modules/lambda (`packages`):
https://registry.terraform.io/providers/hashicorp/archive/latest/docs/resources/file
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, as_object, items, text
from terralive_terraform.discovery.archives import ARCHIVE, S3_OBJECTS
from terralive_terraform.evaluation.document import DATA, MANAGED, Evaluated, Evaluation
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.evaluation.references import CODE_ATTRIBUTES, referred
from terralive_terraform.evaluation.sources.layouts import Entry, file_entry, folder_entry
from terralive_terraform.evaluation.sources.repository import Repository, is_below

# https://registry.terraform.io/providers/hashicorp/local/latest/docs/resources/file
_FILE_TYPES: Final = ("local_file", "local_sensitive_file")
_NOT_KNOWN: Final = "its content is known after an apply"
_ZIP_ATTRIBUTES: Final = tuple(name for name in CODE_ATTRIBUTES if name != "depends_on")
_OBJECT_ATTRIBUTES: Final = ("source", "key", "source_hash", "etag")


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive, and what is in it.

    Attributes:
        shown: how a user reads it: `archive_file data.archive_file.code`.
        entries: the local files and folders that it is made of.
        missing: the texts in the archive that are the content of no file of the repository, by
            their names. The configuration has them, or a template makes them.
        note: what the user should know about it.
    """

    shown: str
    entries: tuple[Entry, ...]
    missing: Mapping[str, str] = field(default_factory=dict, repr=False)
    note: str = ""


class Archives:
    """The archives of a plan, by their files and their sums."""

    def __init__(self, evaluation: Evaluation, repository: Repository) -> None:
        self._evaluation = evaluation
        self._repository = repository
        self._by_file: dict[Path, list[Evaluated]] = {}
        self._by_sum: dict[str, list[Evaluated]] = {}
        self._objects: dict[str, list[Evaluated]] = {}
        for mode in (DATA, MANAGED):
            for item in evaluation.instances(ARCHIVE, mode):
                self._add(item)
        # The texts of files that an apply writes, by path.
        self._written: dict[Path, str] = {}
        for kind in _FILE_TYPES:
            for item in evaluation.instances(kind):
                content = text(item.values, "content") or _NOT_KNOWN
                self._written[self._path(text(item.values, "filename"))] = content
        for kind in S3_OBJECTS:
            for item in evaluation.instances(kind):
                self._objects.setdefault(text(item.values, "key"), []).append(item)

    def of(self, function: PlannedFunction) -> tuple[Archive, ...]:
        """Return the archives that a function's zip comes from, those of the best way only."""
        for found in self._ways(function):
            unique = {item.address: item for item in found}
            if unique:
                return tuple(self._archive(item) for item in unique.values())
        return ()

    def zips(self, function: PlannedFunction) -> tuple[Path, ...]:
        """Return the files that a function's zip comes from, whether they exist or not."""
        found: list[Path] = []
        if function.filename is not None:
            found.append(function.filename)
        for item in self._objects_of(function):
            source = text(item.values, "source")
            if source:
                found.append(self._path(source))
        return tuple(dict.fromkeys(found))

    def _ways(self, function: PlannedFunction) -> Iterator[Iterable[Evaluated]]:
        """Yield the archives by each way, the best one first."""
        objects = self._objects_of(function)
        for file in self.zips(function):
            yield self._nearest(self._by_file.get(file, ()), function)
        yield self._nearest(self._by_sum.get(function.code_hash or "", ()), function)
        yield self._archives(function.address, function.module, _ZIP_ATTRIBUTES)
        for item in objects:
            yield self._archives(item.address, item.module, _OBJECT_ATTRIBUTES)
        yield self._archives(function.address, function.module, ("depends_on",))
        yield self._with_same_name(function)

    def _with_same_name(self, function: PlannedFunction) -> Iterator[Evaluated]:
        """Yield the archives whose unknown names have the same random part as a function's zip."""
        if "filename" not in function.unknown:
            return
        parts = self._random(function.address, function.module, "filename")
        for mode in (DATA, MANAGED):
            for item in self._evaluation.instances(ARCHIVE, mode):
                if parts & self._random(item.address, item.module, "output_path"):
                    yield item

    def _random(self, address: str, module: str, attribute: str) -> frozenset[str]:
        found = referred(self._evaluation, address, module, (attribute,))
        return frozenset(item.address for item in found if item.type.startswith("random_"))

    def _archives(self, address: str, module: str, attributes: Iterable[str]) -> list[Evaluated]:
        found = referred(self._evaluation, address, module, attributes)
        return [item for item in found if item.type == ARCHIVE]

    def _nearest(
        self, found: Iterable[Evaluated], function: PlannedFunction
    ) -> tuple[Evaluated, ...]:
        """Return those of the function's own module, where there are any."""
        several = tuple(found)
        own = tuple(item for item in several if item.module == function.module)
        return own or several

    def _objects_of(self, function: PlannedFunction) -> tuple[Evaluated, ...]:
        """Return the S3 objects that a function's zip may be."""
        if function.s3_key is None and "s3_key" not in function.unknown:
            return ()
        by_reference = tuple(
            item
            for item in referred(
                self._evaluation, function.address, function.module, _ZIP_ATTRIBUTES
            )
            if item.type in S3_OBJECTS
        )
        if by_reference or function.s3_key is None:
            return by_reference
        found: list[Evaluated] = []
        for item in self._objects.get(function.s3_key, ()):
            bucket = text(item.values, "bucket")
            if not bucket or function.s3_bucket in {None, bucket}:
                found.append(item)
        return self._nearest(found, function)

    def _add(self, item: Evaluated) -> None:
        output = text(item.values, "output_path")
        if output and output != os.devnull:
            self._by_file.setdefault(self._path(output), []).append(item)
        for name, value in item.values.items():
            is_sum = name.startswith("output_") and name not in {"output_path", "output_file_mode"}
            if is_sum and isinstance(value, str) and value:
                self._by_sum.setdefault(value, []).append(item)

    def _archive(self, item: Evaluated) -> Archive:
        shown = f"{ARCHIVE} {item.address}"
        folder, file = text(item.values, "source_dir"), text(item.values, "source_file")
        if folder:
            return self._of_folder(shown, self._path(folder))
        if file and self._path(file) not in self._written:
            return Archive(shown, (file_entry(self._path(file)),))
        contents = list(_contents(item.values))
        if file:
            contents = [(self._path(file).name, self._written[self._path(file)])]
        entries: list[Entry] = []
        missing: dict[str, str] = {}
        for name, content in contents:
            local = self._file_with(name, content)
            if local is not None:
                entries.append(file_entry(local, name))
            elif content:
                missing[name] = content
        note = ""
        if entries and missing:
            names = ", ".join(missing)
            note = f"the configuration makes {names}: local code does not have what it makes"
        return Archive(shown, tuple(entries), missing, note)

    def _of_folder(self, shown: str, folder: Path) -> Archive:
        """Return the archive of a folder; what an apply writes into it is a file elsewhere."""
        entries = [folder_entry(folder)]
        missing: dict[str, str] = {}
        for path, content in self._written.items():
            if not is_below(path, folder):
                continue
            name = path.relative_to(folder).as_posix()
            local = self._file_with(name, content)
            if local is None:
                missing[name] = content
            else:
                entries.insert(0, file_entry(local, name))
        return Archive(shown, tuple(entries), missing)

    def _file_with(self, name: str, content: str) -> Path | None:
        """Return the file that has a content; None where there is none, or no certain one."""
        found = self._repository.files_with(content.encode(errors="replace"))
        if not content:
            return None
        for suffix in (f"/{name}", f"/{Path(name).name}", Path(name).suffix):
            fitting = [path for path in found if str(path).endswith(suffix)]
            near = [path for path in fitting if path.is_relative_to(self._evaluation.directory)]
            for several in (near, fitting):
                if len(several) == 1:
                    return several[0]
            if fitting:
                return None
        return None

    def _path(self, value: str) -> Path:
        return (self._evaluation.directory / value).resolve()


def _contents(values: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Yield the name in the archive and the content of each file that is given by content."""
    content = values.get("source_content")
    if isinstance(content, str):
        yield text(values, "source_content_filename"), content
    for block in items(values, "source"):
        source = as_object(block)
        yield text(source, "filename"), text(source, "content")

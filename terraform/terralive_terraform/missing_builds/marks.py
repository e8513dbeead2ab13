"""The traces that placeholders leave in a plan: what must never be applied. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final

from terralive_stub.shared.json_documents import Json, items, section, text
from terralive_terraform.discovery.archives import ARCHIVE
from terralive_terraform.output.shown_plan import ShownPlan

# The text in the place of a file's content or sum.
NOT_BUILT: Final = "terralive: this file is not built"
_CHANGES: Final = ("create", "update", "replace")
_NO_SUMS: Final = ("output_path", "output_file_mode")
_SOURCES: Final = ("filename", "source")


@dataclass(frozen=True, slots=True)
class MissingSource:
    """A folder or file that an archive is made of, and that is missing.

    Attributes:
        attribute: `source_dir` or `source_file`.
        path: its path, as the configuration computes it.
    """

    attribute: str
    path: str


@dataclass(frozen=True, slots=True)
class Marks:
    """The texts that a value has because of placeholders.

    Attributes:
        folder: the folder of the placeholders.
        sums: the sums of their archives.
        paths: the SHA-1 sums of the paths that these archives have in the configuration.
    """

    folder: Path
    sums: frozenset[str] = frozenset()
    paths: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def of(cls, plan: ShownPlan, folder: Path) -> Marks:
        """Return the marks of a plan."""
        sums: set[str] = {NOT_BUILT}
        paths: set[str] = set()
        for values in plan.archives:
            if not is_placeholder(values, folder):
                continue
            paths.add(_sum_of_path(values))
            for name, value in values.items():
                is_sum = name == "id" or (name.startswith("output_") and name not in _NO_SUMS)
                if is_sum and isinstance(value, str) and value:
                    sums.add(value)
        return cls(folder, frozenset(sums), frozenset(paths))

    def are_in(self, value: Json) -> bool:
        """Tell whether a value, or a part of it, comes from a placeholder."""
        for part in _texts(value):
            if str(self.folder) in part or any(known in part for known in self.sums):
                return True
            if self.paths and _sha1(part) in self.paths:
                return True
        return False


def marked(plan: ShownPlan, folder: Path) -> dict[str, frozenset[str]]:
    """Return the attributes that placeholders would change, by the addresses of resources.

    Args:
        plan: the plan.
        folder: the folder of the placeholders.
    """
    marks = Marks.of(plan, folder)
    found: dict[str, frozenset[str]] = {}
    for resource in plan.resources:
        if resource.action not in _CHANGES:
            continue
        changed = resource.changed
        if resource.action != "update":
            changed = frozenset(resource.after)
        names = frozenset(name for name in changed if marks.are_in(resource.after.get(name)))
        if names:
            found[resource.address] = names
    return found


def is_placeholder(archive: Mapping[str, Json], folder: Path) -> bool:
    """Tell whether an archive of a plan is a placeholder, by its values."""
    return PurePath(text(archive, "output_path")).is_relative_to(folder)


def corrected(
    document: Mapping[str, Json], missing: Mapping[str, MissingSource], folder: Path
) -> dict[str, Json]:
    """Return the JSON document of a plan in which placeholders are what they stand for.

    Args:
        document: the document.
        missing: what is missing of archives, by their addresses.
        folder: the folder of the placeholders.
    """
    paths: dict[str, str] = {}
    for change in items(document, "resource_changes"):
        if isinstance(change, dict):
            resource = section(section(change, "change"), "after")
            for name in _SOURCES:
                paths[_sha1(text(resource, name))] = text(resource, name)

    def in_module(module: Mapping[str, Json]) -> dict[str, Json]:
        resources: list[Json] = []
        for resource in items(module, "resources"):
            if isinstance(resource, dict) and text(resource, "type") == ARCHIVE:
                values = section(resource, "values")
                if is_placeholder(values, folder):
                    own = missing.get(text(resource, "address"))
                    resource = {**resource, "values": _real(values, own, paths)}  # noqa: PLW2901
            resources.append(resource)
        children: list[Json] = [
            in_module(child) for child in items(module, "child_modules") if isinstance(child, dict)
        ]
        return {**module, "resources": resources, "child_modules": children}

    prior = section(document, "prior_state")
    values, planned = section(prior, "values"), section(document, "planned_values")
    before: Json = {**values, "root_module": in_module(section(values, "root_module"))}
    after: Json = {**planned, "root_module": in_module(section(planned, "root_module"))}
    return {**document, "prior_state": {**prior, "values": before}, "planned_values": after}


def _real(
    values: Mapping[str, Json], missing: MissingSource | None, paths: Mapping[str, str]
) -> dict[str, Json]:
    real = dict(values)
    if missing is not None:
        real[missing.attribute] = missing.path
    known = paths.get(_sum_of_path(values))
    if known:
        real["output_path"] = known
    return real


def _sum_of_path(values: Mapping[str, Json]) -> str:
    """Return the SHA-1 sum of the path that a placeholder's archive has in the configuration."""
    return PurePath(text(values, "output_path")).parent.name


def _sha1(value: str) -> str:
    return hashlib.sha1(value.encode(errors="replace"), usedforsecurity=False).hexdigest()


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item)

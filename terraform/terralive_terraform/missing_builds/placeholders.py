"""Placeholders for files that are missing because nobody has built them.

Terraform reads a data source `archive_file` and calls functions like `filebase64sha256` in every
plan, and fails where their files do not exist. Overrides give such blocks a placeholder for one
plan. An override first computes what it replaces, instance by instance: where the file is there,
the value stays. No placeholder is ever applied (see `marks`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from terralive_stub.shared.json_documents import Json
from terralive_terraform.addresses import LOCALS, without_keys
from terralive_terraform.discovery.archives import ARCHIVE
from terralive_terraform.discovery.files import Module
from terralive_terraform.discovery.hcl.folders import dynamic_blocks, first_block, nested_blocks
from terralive_terraform.missing_builds.expressions import (
    chosen,
    fails,
    in_place_of,
    is_one_of,
    native_expression,
    quoted,
    reads_file,
)
from terralive_terraform.missing_builds.marks import (
    NOT_BUILT,
    MissingSource,
    corrected,
    marked,
)
from terralive_terraform.output.failures import BuildMissingError, failure, misses_file
from terralive_terraform.output.progress import Diagnostic
from terralive_terraform.output.shown_plan import ShownPlan
from terralive_terraform.runs.process import private_directory
from terralive_terraform.substitution.rules import Substitution

_Runner = TypeVar("_Runner")
_Result = TypeVar("_Result")
# https://github.com/hashicorp/terraform-provider-archive/blob/main/internal/provider/zip_archiver.go
_MISSING_SOURCE: Final = re.compile(r"could not archive missing (directory|file): (.+?)\s*$")
_ATTRIBUTES: Final = {"directory": "source_dir", "file": "source_file"}
_FILE: Final = "not-built.txt"
_SHOWN: Final = 5


class MissingBuilds:
    """What is missing in one configuration, as its failed plans tell.

    Args:
        modules: the modules of the configuration.
        directory: the folder that Terraform runs in.
        folder: a folder of terralive's for the placeholders.
    """

    def __init__(self, modules: Sequence[Module], directory: Path, folder: Path) -> None:
        self._directory = directory.resolve()
        self._folder = folder.resolve()
        # The blocks that may read files, by address.
        self._blocks: dict[str, Mapping[str, Json]] = {}
        # The addresses of these blocks, by the folder of their module and their address in it.
        self._places: dict[tuple[Path, str], list[str]] = {}
        for module in modules:
            for address, block in module.blocks.items():
                self._blocks[address] = block
                place = (module.directory.resolve(), _in_module(address))
                self._places.setdefault(place, []).append(address)
        # The missing folders and files of archives, by the addresses of instances.
        self._sources: dict[str, MissingSource] = {}
        # The blocks in which a function reads a missing file.
        self._functions: set[str] = set()
        # The attributes that stay as they are deployed, by the addresses of blocks.
        self._kept: dict[str, set[str]] = {}
        # The failure of the first plan; None where nothing is missing.
        self.error: BuildMissingError | None = None
        # What all failed plans have said. A plan does not say all of it at once.
        self._said: list[Diagnostic] = []

    def run(
        self,
        first: _Runner,
        action: Callable[[_Runner], _Result],
        again: Callable[[], _Runner],
    ) -> _Result:
        """Plan, and plan again with placeholders as long as more of them help.

        Args:
            first: Terraform without placeholders.
            action: makes the plan.
            again: prepares Terraform with the `substitutions` of that moment.

        Raises:
            BuildMissingError: the first failure, where placeholders do not help.
        """
        try:
            return action(first)
        except BuildMissingError as error:
            self.error = latest = error
            self._said += error.diagnostics
        while self._learn(latest.diagnostics):
            (private_directory(self._folder / "source") / _FILE).write_text(NOT_BUILT, "utf-8")
            try:
                return action(again())
            except BuildMissingError as error:
                latest = error
                self._said += error.diagnostics
        raise self.error

    def substitutions(self) -> dict[str, Substitution]:
        """Return the overrides with placeholders, by the addresses of blocks."""
        found: dict[str, Substitution] = {}
        archives = {without_keys(address) for address in self._sources}
        for address in archives | self._functions | self._kept.keys():
            block = self._blocks[address]
            if _is_archive(address):
                found[address] = self._archive(address, block)
            else:
                found[address] = self._resource(address, block)
        return found

    def corrected(self, document: Mapping[str, Json]) -> Mapping[str, Json]:
        """Return the JSON document of a plan with what placeholders stand for."""
        if self.error is None:
            return document
        return corrected(document, self._sources, self._folder)

    def keep(self, plan: ShownPlan, deployed: Collection[str]) -> bool:
        """Let resources stay as they are deployed where placeholders would change them.

        Args:
            plan: a plan with placeholders.
            deployed: the addresses of functions that run their own code.

        Returns:
            Whether there are more of them than before, so that a new plan differs.
        """
        before = sum(map(len, self._kept.values()))
        for address, names in marked(plan, self._folder).items():
            block = without_keys(address)
            is_function = _in_module(block).startswith("aws_lambda_function.")
            if block in self._blocks and (address in deployed or not is_function):
                self._kept.setdefault(block, set()).update(names)
        return sum(map(len, self._kept.values())) > before

    def require_untouched(self, plan: ShownPlan) -> None:
        """Refuse a plan that would apply a placeholder.

        Raises:
            BuildMissingError: what Terraform has said of the resources that would get one.
        """
        touched = self.touched(plan)
        if self.error is not None and touched:
            raise self._unbuilt(self.error, sorted(touched))

    def touched(self, plan: ShownPlan) -> frozenset[str]:
        """Return the addresses of the resources that a plan would make of a placeholder."""
        if self.error is None:
            return frozenset()
        return frozenset(marked(plan, self._folder))

    def _unbuilt(self, first: BuildMissingError, touched: Sequence[str]) -> BuildMissingError:
        """Return the error of resources that would be made of a placeholder."""
        blocks = {without_keys(address) for address in touched}
        about = [item for item in self._said if not blocks.isdisjoint(self._addresses_of(item))]
        message = first.message
        if about:
            message = failure("plan", about, "").message
        names = ", ".join(touched[:_SHOWN])
        if len(touched) > _SHOWN:
            names += " and others"
        hint = f"{first.hint} {names} cannot be made without it."
        return BuildMissingError(first.reference, message, hint=hint)

    def _addresses_of(self, item: Diagnostic) -> set[str]:
        return {without_keys(item.address), *self._addresses_at(item)}

    def _learn(self, diagnostics: Sequence[Diagnostic]) -> bool:
        """Note what errors name; tell whether there is something new."""
        before = (len(self._sources), len(self._functions))
        for item in diagnostics:
            source = _MISSING_SOURCE.search(item.detail)
            block = without_keys(item.address)
            if source is not None and block in self._blocks:
                attribute = _ATTRIBUTES[source[1]]
                if native_expression(self._blocks[block].get(attribute)) is not None:
                    self._sources[item.address] = MissingSource(attribute, source[2])
            elif misses_file(item):
                self._functions.update(self._addresses_at(item))
        return (len(self._sources), len(self._functions)) != before

    def _addresses_at(self, item: Diagnostic) -> list[str]:
        """Return the addresses of the block that an error is about, in all calls of its module."""
        folder = (self._directory / item.where).parent.resolve()
        block = item.block
        if block == "locals":
            block = LOCALS
        return self._places.get((folder, block), [])

    def _archive(self, address: str, block: Mapping[str, Json]) -> Substitution:
        """Return the override of an archive, which is written to a folder of terralive's."""
        changed: dict[str, Json] = {}
        conditions: list[str] = []
        for attribute in _ATTRIBUTES.values():
            paths = self._missing_paths(address, attribute)
            expression = native_expression(block.get(attribute))
            if not paths or expression is None:
                continue
            condition = is_one_of(expression, paths)
            conditions.append(condition)
            own = self._folder / "source"
            if attribute == "source_file":
                own /= _FILE
            changed[attribute] = chosen(condition, quoted(str(own)), f"try({expression}, null)")
        blocks: dict[str, Json] = {}
        if address in self._functions:
            contents = _with_placeholders(block, conditions)
            changed.update(contents)
            sources = [
                {**source, **_with_placeholders(source, conditions)}
                for source in nested_blocks(block.get("source"))
            ]
            if sources and not any(name == "source" for name, _ in dynamic_blocks(block)):
                blocks["source"] = list(sources)
        output = native_expression(block.get("output_path"))
        if output is not None and conditions:
            zips = f'"{self._folder / "zips"}/${{sha1({output})}}/${{basename({output})}}"'
            changed["output_path"] = chosen(" || ".join(conditions), zips, output)
        return Substitution(changed, (), (), blocks)

    def _resource(self, address: str, block: Mapping[str, Json]) -> Substitution:
        """Return the override of a resource, or of local values."""
        changed: dict[str, Json] = {}
        if address in self._functions:
            changed = _with_placeholders(block, [])
        blocks: dict[str, Json] = {}
        kept = self._kept.get(address)
        if kept:
            blocks["lifecycle"] = [{"ignore_changes": _ignored(block, kept)}]
        return Substitution(changed, (), (), blocks)

    def _missing_paths(self, address: str, attribute: str) -> list[str]:
        """Return the missing paths in the instances of a block."""
        paths: set[str] = set()
        for instance, source in self._sources.items():
            if without_keys(instance) == address and source.attribute == attribute:
                paths.add(source.path)
        return sorted(paths)


def _with_placeholders(block: Mapping[str, Json], conditions: list[str]) -> dict[str, Json]:
    """Return the attributes that read files, with placeholders; add their conditions to a list."""
    found: dict[str, Json] = {}
    for name, value in block.items():
        expression = native_expression(value)
        if expression is not None and reads_file(value):
            found[name] = in_place_of(expression, NOT_BUILT)
            conditions.append(fails(expression))
    return found


def _ignored(block: Mapping[str, Json], kept: Collection[str]) -> Json:
    """Return `ignore_changes` with more attributes: an override replaces the whole list."""
    own = first_block(block.get("lifecycle")).get("ignore_changes")
    if not isinstance(own, list):
        own = [own]
    names = [_bare(name) for name in own if isinstance(name, str)]
    if "all" in names:
        return "all"
    return [*names, *sorted(set(kept) - set(names))]


def _bare(reference: str) -> str:
    """Return a reference as JSON syntax has it: without `${}`."""
    return re.sub(r"^\$\{(.*)\}$", r"\1", reference)


def _in_module(address: str) -> str:
    """Return an address without the module's: `data.archive_file.code`."""
    return re.sub(r"^(?:module\.[^.]+\.)+", "", address)


def _is_archive(address: str) -> bool:
    return _in_module(address).startswith(f"data.{ARCHIVE}.")

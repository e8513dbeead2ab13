"""Layers of the functions of a plan, and the local files that they are made of.

Where the value of `layers` is not known before an apply, its references tell the layers. It looks
whether files exist, and changes nothing.
https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lambda_layer_version
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, items, text
from terralive_terraform.discovery.declared import FUNCTION_TYPE
from terralive_terraform.evaluation.document import Evaluated, Evaluation
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.evaluation.references import referred
from terralive_terraform.evaluation.sources.archives import Archives
from terralive_terraform.evaluation.sources.layouts import Entry
from terralive_terraform.evaluation.sources.packages import Packages
from terralive_terraform.evaluation.sources.repository import Repository

LAYER_TYPE: Final = "aws_lambda_layer_version"
_LAYERS: Final = "layers"
_NOT_KNOWN: Final = "only an apply tells its layers; a start after they are deployed knows them"
_PERHAPS_OTHERS: Final = (
    "only an apply tells whether there are others; a start after they are deployed knows them"
)


@dataclass(frozen=True, slots=True)
class PlannedLayer:
    """One layer of a function.

    Attributes:
        name: its Terraform address, or its ARN where the configuration does not create it.
        arn: the ARN of a layer version that the configuration does not create; else "".
        entries: the local files and folders that it is made of, in their order.
        zips: the zip files that it is made from, whether they exist or not.
        problem: why nothing is known of it; "" where something is.
        note: a note for the user; "" for none.
        undecided: whether only an apply tells all layers of its function.
    """

    name: str
    arn: str = ""
    entries: tuple[Entry, ...] = ()
    zips: tuple[Path, ...] = ()
    problem: str = ""
    note: str = ""
    undecided: bool = False


def find_layers(
    evaluation: Evaluation,
    top: Path,
    *,
    project: Path | None = None,
    words: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, tuple[PlannedLayer, ...]]:
    """Return the layers of each function that has any, in Lambda's order, by its address.

    Args:
        evaluation: the plan.
        top: the topmost folder of the repository.
        project: the folder that commands run in and that paths are shown from; None for `top`.
        words: words of resources in the configuration's files, by their addresses without keys.
    """
    finder = _Finder(evaluation, Repository(top, (), project), words or {})
    found: dict[str, tuple[PlannedLayer, ...]] = {}
    for function in evaluation.instances(FUNCTION_TYPE):
        layers = finder.of(function)
        if layers:
            found[function.address] = layers
    return found


class _Finder:
    """Finds the layers of one function after the other, in the same plan and repository."""

    def __init__(
        self, evaluation: Evaluation, repository: Repository, words: Mapping[str, Sequence[str]]
    ) -> None:
        self._evaluation = evaluation
        self._archives = Archives(evaluation, repository)
        self._packages = Packages(evaluation, repository, words)
        self._versions = evaluation.instances(LAYER_TYPE)
        self._by_arn = {text(item.values, "arn"): item for item in self._versions}
        self._by_arn.pop("", None)

    def of(self, function: Evaluated) -> tuple[PlannedLayer, ...]:
        """Return the layers of a function, in Lambda's order."""
        elements = _elements(function)
        if elements is None:
            return self._whole(function)
        pending = self._pending(function, elements)
        layers: list[PlannedLayer] = []
        for arn in elements:
            if arn is not None:
                layers.append(self._known(arn))
            elif pending:
                layers.append(self._own(pending.pop(0)))
            else:
                layers.append(_not_known(function))
        return tuple(layers)

    def _whole(self, function: Evaluated) -> tuple[PlannedLayer, ...]:
        """Return the layers of a function of whose `layers` nothing is known."""
        found = self._referenced(function) or self._only_new(function)
        if not found:
            return (_not_known(function),)
        # Literal ARNs beside references are not in a plan.
        *others, last = [replace(self._own(item), undecided=True) for item in found]
        return (*others, replace(last, note=last.note or _PERHAPS_OTHERS))

    def _pending(self, function: Evaluated, elements: Sequence[str | None]) -> list[Evaluated]:
        """Return the layer versions that stand for the unknown elements; [] if it is not certain.

        Terraform writes the references of a list in the order of its elements.
        """
        missing = elements.count(None)
        found = self._referenced(function) or self._only_new(function)
        found = [item for item in found if text(item.values, "arn") not in elements]
        if len(found) != missing:
            return []
        return found

    def _referenced(self, function: Evaluated) -> list[Evaluated]:
        instances = referred(self._evaluation, function.address, function.module, (_LAYERS,))
        return [item for item in instances if item in self._versions]

    def _only_new(self, function: Evaluated) -> list[Evaluated]:
        """Return the one layer version of a function's module that an apply creates.

        What a `local` refers to is not in a plan.
        """
        own = [item for item in self._versions if item.module == function.module]
        found = [item for item in own if not text(item.values, "arn")]
        if len(found) == 1:
            return found
        return []

    def _known(self, arn: str) -> PlannedLayer:
        """Return the layer version of an ARN."""
        item = self._by_arn.get(arn)
        if item is not None:
            return self._own(item)
        return PlannedLayer(arn, arn)

    def _own(self, item: Evaluated) -> PlannedLayer:
        """Return a layer version that the configuration creates."""
        package = _as_package(item, self._evaluation.directory)
        zips = self._archives.zips(package)
        archives = self._archives.of(package)
        if archives:
            archive = archives[0]
            note = archive.note
            if archive.missing:
                note = f"local code does not have what the configuration makes: {archive.shown}"
            # An `archive_file` describes its zip completely.
            return PlannedLayer(item.address, entries=archive.entries, note=note)
        built = self._packages.of(package, zips)
        if built is None:
            problem = ""
            if not zips:
                problem = "the plan does not name what it is made of"
            return PlannedLayer(item.address, zips=zips, problem=problem)
        return PlannedLayer(item.address, entries=built.entries, zips=zips, note=built.note)


def _elements(function: Evaluated) -> list[str | None] | None:
    """Return the ARNs of a function's layers; None in the place of each that is not known.

    Returns:
        None where nothing is known of `layers` as a whole.
    """
    unknown = function.unknown_values.get(_LAYERS)
    if unknown is True:
        return None
    unknown_items: list[Json] = []
    if isinstance(unknown, list):
        unknown_items = unknown
    values = items(function.values, _LAYERS)
    found: list[str | None] = []
    for place in range(max(len(values), len(unknown_items))):
        arn: str | None = None
        if place < len(values):
            value = values[place]
            if isinstance(value, str):
                arn = value
        if arn is not None or unknown_items[place : place + 1] == [True]:
            found.append(arn)
    return found


def _as_package(item: Evaluated, directory: Path) -> PlannedFunction:
    """Return a layer version as what has a zip: it names its zip as a function does."""
    filename = text(item.values, "filename")
    file: Path | None = None
    if filename:
        file = (directory / filename).resolve()
    return PlannedFunction(
        item.address,
        item.module,
        filename=file,
        s3_bucket=text(item.values, "s3_bucket") or None,
        s3_key=text(item.values, "s3_key") or None,
        code_hash=text(item.values, "source_code_hash") or None,
        unknown=item.unknown,
    )


def _not_known(function: Evaluated) -> PlannedLayer:
    """Return what stands for layers of which nothing is known."""
    name = f"layers of {function.address}"
    return PlannedLayer(name, problem=_NOT_KNOWN, undecided=True)

"""The layers of functions as files of this machine. It unpacks zip files of the team's."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.layers.store import LayerStore
from terralive_relay.events import Warned
from terralive_terraform.evaluation.layers import PlannedLayer
from terralive_workers.function import LayerPart


@dataclass(frozen=True, slots=True)
class LocalLayers:
    """The layers of one function on this machine.

    Attributes:
        parts: what they are made of, in their order. What is to be downloaded need not exist yet.
        watched: the team's own files and folders among them.
        warnings: sentences about what is not there, or not completely.
        undecided: whether only an apply tells all of them.
    """

    parts: tuple[LayerPart, ...] = ()
    watched: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    undecided: bool = False


NO_LAYERS: Final = LocalLayers()


def local_layers(
    planned: Mapping[str, Sequence[PlannedLayer]], store: LayerStore
) -> dict[str, LocalLayers]:
    """Return the layers of functions on this machine, by the functions' addresses.

    Args:
        planned: the layers of functions by their addresses, as a plan shows them.
        store: has unpacked layers.
    """
    known: dict[PlannedLayer, LocalLayers] = {}
    found: dict[str, LocalLayers] = {}
    for address, layers in planned.items():
        parts: list[LayerPart] = []
        watched: list[Path] = []
        warnings: list[str] = []
        for layer in layers:
            if layer not in known:
                known[layer] = _local(layer, store)
            parts += known[layer].parts
            watched += known[layer].watched
            warnings += known[layer].warnings
        undecided = any(layer.undecided for layer in layers)
        found[address] = LocalLayers(tuple(parts), tuple(watched), tuple(warnings), undecided)
    return found


def layer_warnings(layers: Mapping[str, LocalLayers]) -> list[Warned]:
    """Return the warnings about layers that are not there, or not completely."""
    found: list[Warned] = []
    for address, local in layers.items():
        found += [Warned("layer-incomplete", text, address) for text in local.warnings]
    return found


def _local(layer: PlannedLayer, store: LayerStore) -> LocalLayers:
    """Return one layer on this machine."""
    if layer.arn:
        return LocalLayers((LayerPart(store.folder_of(layer.arn), arn=layer.arn),))
    parts: list[LayerPart] = []
    # A program has built the zip, and it may have what the folders lack.
    for zip_file in layer.zips:
        if zip_file.is_file():
            try:
                parts.append(LayerPart(store.unpacked(zip_file)))
            except (OSError, zipfile.BadZipFile) as error:
                return _missing(layer, f"{zip_file} cannot be unpacked ({error})")
            break
    watched: list[Path] = []
    for entry in layer.entries:
        if entry.local.exists():
            parts.append(LayerPart(entry.local, entry.target))
            watched.append(entry.local)
    if not parts:
        return _missing(layer, layer.problem or _not_there(layer))
    warnings: tuple[str, ...] = ()
    if layer.note:
        warnings = (f"Layer {layer.name}: {layer.note}.",)
    return LocalLayers(tuple(parts), tuple(watched), warnings)


def _not_there(layer: PlannedLayer) -> str:
    """Return which files of a layer do not exist."""
    places = [str(entry.local) for entry in layer.entries] or [str(file) for file in layer.zips]
    return f"{', '.join(places)} does not exist: build it"


def _missing(layer: PlannedLayer, why: str) -> LocalLayers:
    text = f"The handler runs without the layer {layer.name}: {why}."
    return LocalLayers(warnings=(text,))

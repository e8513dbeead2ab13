"""The stub's image: Lambda's base image and one layer with the stub.

It is in the debug stack's repository. Its tag is made from the stub's files, the base and the
architecture. An image that is there already is used as it is: one question is all that is sent.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.images import manifests
from terralive_cli.images.layer import Layer, layer_of
from terralive_cli.images.manifests import Blob, Document
from terralive_cli.images.registry import Repository
from terralive_stub.errors import ConfigurationError
from terralive_terraform.artifacts import (
    STUB_IMAGE_DIRECTORY,
    STUB_IMAGE_ENTRYPOINT,
    STUB_IMAGE_TAG,
    stub_files,
)

_DIGEST_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True)
class Base:
    """The base image.

    Attributes:
        repository: its repository.
        reference: its tag or digest.
    """

    repository: Repository
    reference: str

    @property
    def name(self) -> str:
        """Its name, for a person."""
        separator = ":"
        if self.reference.startswith("sha256:"):
            separator = "@"
        return f"{self.repository.address}{separator}{self.reference}"


def stub_layer() -> Layer:
    """Return the layer with the stub."""
    return layer_of(stub_files(), STUB_IMAGE_DIRECTORY)


@dataclass(frozen=True, slots=True)
class StubImage:
    """The stub's image for one architecture.

    Attributes:
        base: its base image.
        architecture: `x86_64` or `arm64`.
        layer: the layer with the stub.
    """

    base: Base
    architecture: str
    layer: Layer

    @property
    def tag(self) -> str:
        """Its tag: another one for other files, another base or another architecture."""
        content = f"{self.layer.diff_id} {self.base.name} {' '.join(STUB_IMAGE_ENTRYPOINT)}"
        digest = hashlib.sha256(content.encode()).hexdigest()[:_DIGEST_CHARACTERS]
        return f"{STUB_IMAGE_TAG}-{digest}-{self.architecture}"

    def pushed(
        self, target: Repository, on_progress: Callable[[str], None] = lambda _: None
    ) -> str:
        """Make sure that a repository has the image. Return its name, with its digest.

        Args:
            target: the repository.
            on_progress: takes what is sent, for a person.

        Raises:
            ConfigurationError: `image-base-missing`: there is no base image for the architecture.
            TerraliveError: see `Repository`.
        """
        digest = target.digest(self.tag) or _push(self, target, on_progress)
        return f"{target.address}@{digest}"


def _push(image: StubImage, target: Repository, on_progress: Callable[[str], None]) -> str:
    base, architecture, layer = image.base, image.architecture, image.layer
    manifest = _base_manifest(base, architecture)
    with tempfile.TemporaryDirectory(prefix="terralive-image-") as folder:
        file = Path(folder, "blob")
        base.repository.download(manifests.configuration_of(manifest), file)
        configuration = Document(file.read_bytes(), "")
        if not manifests.is_for(configuration, architecture):
            raise _no_base(base, architecture)
        new, own = manifests.with_layer(manifest, configuration, layer, STUB_IMAGE_ENTRYPOINT)
        blobs = manifests.layers_of(manifest)
        for number, blob in enumerate(blobs, 1):
            on_progress(f"layer {number} of {len(blobs) + 1} ({_megabytes(blob)})")
            _copy(base.repository, target, blob, file)
        on_progress(f"layer {len(blobs) + 1} of {len(blobs) + 1} (the stub)")
        for data in (layer.data, own.data):
            file.write_bytes(data)
            blob = Blob(manifests.digest_of(data), len(data))
            if not target.has(blob):
                target.upload(blob, file)
    return target.put_manifest(image.tag, new)


def _base_manifest(base: Base, architecture: str) -> Document:
    """Return the base image's manifest for one architecture."""
    found = base.repository.manifest(base.reference)
    if found is not None and manifests.is_index(found):
        digest = manifests.manifest_for(found, architecture)
        found = base.repository.manifest(digest) if digest else None
    if found is None:
        raise _no_base(base, architecture)
    return found


def _copy(source: Repository, target: Repository, blob: Blob, file: Path) -> None:
    """Bring a blob to the target, unless it has it."""
    if target.has(blob):
        return
    if source.host == target.host and target.mount(blob, source.name):
        return
    source.download(blob, file)
    target.upload(blob, file)


def _megabytes(blob: Blob) -> str:
    return f"{blob.size / 1_000_000:.1f} MB"


def _no_base(base: Base, architecture: str) -> ConfigurationError:
    return ConfigurationError(
        "image-base-missing",
        f"There is no base image {base.name} for {architecture}.",
        hint="Correct base in the table [stub_image] of terralive.toml: Lambda's image for Python, "
        "with all architectures of your functions.",
    )

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

    def prepared(self, target: Repository) -> PreparedImage:
        """Return the image as it is, or will be, in a repository. Nothing is sent.

        Raises:
            ConfigurationError: `image-base-missing`: there is no base image for the architecture.
            TerraliveError: see `Repository`.
        """
        digest = target.digest(self.tag)
        if digest:
            return PreparedImage(target, digest)
        manifest = _base_manifest(self.base, self.architecture)
        configuration = _base_configuration(self.base, manifest)
        if not manifests.is_for(configuration, self.architecture):
            raise _no_base(self.base, self.architecture)
        new, own = manifests.with_layer(manifest, configuration, self.layer, STUB_IMAGE_ENTRYPOINT)
        pending = _Pending(self, manifests.layers_of(manifest), new, own)
        return PreparedImage(target, new.digest, pending)


@dataclass(frozen=True, slots=True)
class _Pending:
    """An image that is not in its repository yet.

    Attributes:
        image: the image.
        base_layers: the layers of its base image.
        manifest: its manifest.
        configuration: its configuration.
    """

    image: StubImage
    base_layers: tuple[Blob, ...]
    manifest: Document
    configuration: Document


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """The stub's image in a repository.

    Attributes:
        target: the repository.
        digest: its digest.
        pending: what has to be sent; None where it is there.
    """

    target: Repository
    digest: str
    pending: _Pending | None = None

    @property
    def name(self) -> str:
        """Its name, with its digest."""
        return f"{self.target.address}@{self.digest}"

    def push(self, on_progress: Callable[[str], None] = lambda _: None) -> None:
        """Send what is missing in the repository.

        Args:
            on_progress: takes what is sent, for a person.

        Raises:
            TerraliveError: see `Repository`.
        """
        if self.pending is not None:
            _push(self.pending, self.target, on_progress)


def _push(pending: _Pending, target: Repository, on_progress: Callable[[str], None]) -> None:
    base, layer = pending.image.base, pending.image.layer
    with tempfile.TemporaryDirectory(prefix="terralive-image-") as folder:
        file = Path(folder, "blob")
        blobs = pending.base_layers
        for number, blob in enumerate(blobs, 1):
            on_progress(f"layer {number} of {len(blobs) + 1} ({_megabytes(blob)})")
            _copy(base.repository, target, blob, file)
        on_progress(f"layer {len(blobs) + 1} of {len(blobs) + 1} (the stub)")
        for data in (layer.data, pending.configuration.data):
            file.write_bytes(data)
            blob = Blob(manifests.digest_of(data), len(data))
            if not target.has(blob):
                target.upload(blob, file)
    known = target.put_manifest(pending.image.tag, pending.manifest)
    if known != pending.manifest.digest:
        # Somebody has pushed one of another base image meanwhile. The plan names this one.
        target.put_manifest(pending.manifest.digest, pending.manifest)


def _base_configuration(base: Base, manifest: Document) -> Document:
    with tempfile.TemporaryDirectory(prefix="terralive-image-") as folder:
        file = Path(folder, "blob")
        base.repository.download(manifests.configuration_of(manifest), file)
        return Document(file.read_bytes(), "")


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

"""Manifests and configurations of container images. Pure.

https://github.com/opencontainers/image-spec has the documents. Lambda takes a manifest for one
architecture, and no index: https://docs.aws.amazon.com/lambda/latest/dg/images-create.html.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from terralive_cli.images.layer import Layer
from terralive_stub.shared.json_documents import Json, as_object, items, section, text

_OCI: Final = "application/vnd.oci.image.manifest.v1+json"
_OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_DOCKER: Final = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
# What a registry may answer with.
ACCEPTED: Final = (_OCI_INDEX, _DOCKER_INDEX, _OCI, _DOCKER)
_OF_LAYER: Final = {
    _OCI: "application/vnd.oci.image.layer.v1.tar+gzip",
    _DOCKER: "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
# Lambda's names of architectures, and those of images.
_ARCHITECTURES: Final = {"x86_64": "amd64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Blob:
    """A part of an image in a registry: its digest (`sha256:…`) and its size in bytes."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Document:
    """A document of an image, as it is sent.

    Attributes:
        data: its bytes.
        media_type: its type.
    """

    data: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """Its digest."""
        return digest_of(self.data)

    @property
    def content(self) -> dict[str, Json]:
        """Its content; {} where it is no JSON object."""
        try:
            return as_object(json.loads(self.data))
        except ValueError:
            return {}


def digest_of(data: bytes) -> str:
    """Return the digest of some content: `sha256:…`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def is_index(document: Document) -> bool:
    """Tell whether a document lists images for several architectures."""
    return "manifests" in document.content


def manifest_for(index: Document, architecture: str) -> str:
    """Return the digest of the manifest for one of Lambda's architectures; "" for none."""
    for item in items(index.content, "manifests"):
        platform = section(as_object(item), "platform")
        is_linux = text(platform, "os") == "linux"
        if is_linux and text(platform, "architecture") == _ARCHITECTURES[architecture]:
            return text(as_object(item), "digest")
    return ""


def is_for(configuration: Document, architecture: str) -> bool:
    """Tell whether an image's configuration is for one of Lambda's architectures."""
    return text(configuration.content, "architecture") == _ARCHITECTURES[architecture]


def configuration_of(manifest: Document) -> Blob:
    """Return the blob of an image's configuration."""
    return _blob(section(manifest.content, "config"))


def layers_of(manifest: Document) -> tuple[Blob, ...]:
    """Return the layers of an image, the first one first."""
    return tuple(_blob(as_object(item)) for item in items(manifest.content, "layers"))


def with_layer(
    manifest: Document, configuration: Document, layer: Layer, entrypoint: tuple[str, ...]
) -> tuple[Document, Document]:
    """Add a layer to an image. The same image and layer give the same bytes.

    Args:
        manifest: the image's manifest.
        configuration: its configuration.
        layer: the layer.
        entrypoint: what the new image starts. Its command is empty.

    Returns:
        The manifest and the configuration of the new image.
    """
    settings: dict[str, Json] = dict(section(configuration.content, "config"))
    settings["Entrypoint"] = list(entrypoint)
    settings["Cmd"] = []
    settings["WorkingDir"] = layer.directory
    files: dict[str, Json] = dict(section(configuration.content, "rootfs"))
    files["diff_ids"] = [*items(files, "diff_ids"), layer.diff_id]
    history: Mapping[str, Json] = {"created_by": "terralive: its stub"}
    new: dict[str, Json] = {
        **configuration.content,
        "config": settings,
        "rootfs": files,
        "history": [*items(configuration.content, "history"), dict(history)],
    }
    own_configuration = Document(_bytes(new), text(_config(manifest), "mediaType"))
    media_type = text(manifest.content, "mediaType") or manifest.media_type
    document: dict[str, Json] = {
        **manifest.content,
        "mediaType": media_type,
        "config": {
            "mediaType": own_configuration.media_type,
            "digest": own_configuration.digest,
            "size": len(own_configuration.data),
        },
        "layers": [
            *items(manifest.content, "layers"),
            {
                "mediaType": _OF_LAYER.get(media_type, _OF_LAYER[_OCI]),
                "digest": digest_of(layer.data),
                "size": len(layer.data),
            },
        ],
    }
    return Document(_bytes(document), media_type), own_configuration


def _config(manifest: Document) -> dict[str, Json]:
    return section(manifest.content, "config")


def _blob(descriptor: Mapping[str, Json]) -> Blob:
    size = descriptor.get("size")
    return Blob(text(descriptor, "digest"), size if isinstance(size, int) else 0)


def _bytes(document: Mapping[str, Json]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()

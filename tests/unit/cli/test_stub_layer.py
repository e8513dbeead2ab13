"""The layer with the stub, and the documents of its image."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib

from hypothesis import given
from hypothesis import strategies as st

from terralive_cli.images.layer import layer_of, stored_gzip
from terralive_cli.images.manifests import Document, digest_of, manifest_for, with_layer

DIGEST = "sha256:e5303d2d6a017ec1234484476e248339e076cc533fc0c62a419a99afe4540c42"
FILES = {"terralive_stub/container.py": b"print()\n", "a.py": b""}


@given(st.binary(max_size=200_000))
def test_a_stored_gzip_has_the_data(data: bytes) -> None:
    packed = stored_gzip(data)
    assert gzip.decompress(packed) == data
    # Every block is stored: no compression of any zlib is in it.
    assert len(packed) == len(data) + 18 + 5 * max(1, -(-len(data) // 65_535))


def test_the_same_files_give_the_same_layer_in_any_order() -> None:
    layer = layer_of(FILES, "/var/task")
    assert layer == layer_of(dict(reversed(FILES.items())), "/var/task")
    # A new digest would make every team push again: change it only with the layer's format.
    assert digest_of(layer.data) == DIGEST
    tar = zlib.decompress(layer.data, wbits=31)
    assert layer.diff_id == digest_of(tar)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        entries = {entry.name: entry for entry in archive}
    assert sorted(entries) == [
        "var/task/a.py",
        "var/task/terralive_stub",
        "var/task/terralive_stub/container.py",
    ]
    for entry in entries.values():
        assert (entry.mode, entry.mtime, entry.uid, entry.uname) == (0o755, 0, 0, "")


def index(*platforms: tuple[str, str]) -> Document:
    listed = [
        {"digest": f"sha256:{number}", "platform": {"os": system, "architecture": architecture}}
        for number, (system, architecture) in enumerate(platforms)
    ]
    return Document(json.dumps({"manifests": listed}).encode(), "")


def test_an_index_gives_the_manifest_of_lambdas_architecture() -> None:
    # BuildKit's attestations are listed with an unknown platform.
    listed = index(
        ("unknown", "unknown"), ("windows", "amd64"), ("linux", "arm64"), ("linux", "amd64")
    )
    assert manifest_for(listed, "x86_64") == "sha256:3"
    assert manifest_for(listed, "arm64") == "sha256:2"
    assert manifest_for(index(("linux", "arm64")), "x86_64") == ""


def test_an_image_with_another_layer_keeps_everything_else() -> None:
    configuration = {
        "architecture": "amd64",
        "config": {"Env": ["A=1"], "Cmd": ["x"], "Entrypoint": ["/entry"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:first"]},
    }
    base = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": "",
            "size": 0,
        },
        "layers": [{"digest": "sha256:zipped", "size": 7}],
        "annotations": {"a": "b"},
    }
    layer = layer_of(FILES, "/var/task")
    manifest, own = with_layer(
        Document(json.dumps(base).encode(), ""),
        Document(json.dumps(configuration).encode(), ""),
        layer,
        ("python3", "-m", "stub"),
    )
    assert own.content == {
        **configuration,
        "config": {
            "Env": ["A=1"],
            "Cmd": [],
            "Entrypoint": ["python3", "-m", "stub"],
            "WorkingDir": "/var/task",
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:first", layer.diff_id]},
        "history": [{"created_by": "terralive: its stub"}],
    }
    assert manifest.content["annotations"] == {"a": "b"}
    assert manifest.content["config"] == {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": own.digest,
        "size": len(own.data),
    }
    assert manifest.content["layers"] == [
        {"digest": "sha256:zipped", "size": 7},
        {
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": digest_of(layer.data),
            "size": len(layer.data),
        },
    ]

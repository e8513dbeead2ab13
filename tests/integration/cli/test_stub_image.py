"""The stub's image in a real registry: what is sent, and what is there afterwards."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from terralive_cli.images.layer import layer_of
from terralive_cli.images.registry import Login, Repository
from terralive_cli.images.stub_image import Base, StubImage, stub_layer
from terralive_stub.errors import CredentialsError, TerraliveError
from terralive_terraform.artifacts import STUB_IMAGE_ENTRYPOINT, stub_files
from terralive_testing.deployers.docker_registry import (
    DOCKER_MANIFEST,
    OCI_MANIFEST,
    PASSWORD,
    USER,
    DockerRegistry,
    registry_program,
    running_docker_registry,
)

pytestmark = pytest.mark.skipif(
    registry_program() is None, reason="there is no docker-registry (scripts/docker-registry)"
)


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """The registry with the base image."""
    with running_docker_registry(tmp_path_factory.mktemp("public")) as registry:
        registry.put_base("lambda/python", "3.13", ("amd64", "arm64"))
        registry.put_base("lambda/oci", "3.13", ("amd64",), oci=True)
        yield registry


@pytest.fixture
def private(tmp_path: Path) -> Iterator[DockerRegistry]:
    """The registry of the account, which asks for a login."""
    with running_docker_registry(tmp_path / "private", with_login=True) as registry:
        yield registry


def image(
    public: DockerRegistry, architecture: str = "x86_64", repository: str = "lambda/python"
) -> StubImage:
    base = Base(Repository(public.host, repository, is_secure=False), "3.13")
    return StubImage(base, architecture, stub_layer())


def target(private: DockerRegistry, password: str = PASSWORD) -> Repository:
    login = Login(USER, password)
    return Repository(private.host, "terralive/terralive-stub", login, is_secure=False)


def manifest_of(private: DockerRegistry, name: str) -> Any:  # noqa: ANN401  # JSON
    digest = name.partition("@")[2]
    answer = private.request(
        "GET",
        f"terralive/terralive-stub/manifests/{digest}",
        headers={"Accept": f"{DOCKER_MANIFEST}, {OCI_MANIFEST}"},
    )
    assert answer.status_code == 200
    return answer.json()


def blob_of(private: DockerRegistry, descriptor: dict[str, Any]) -> bytes:
    path = f"terralive/terralive-stub/blobs/{descriptor['digest']}"
    answer = private.request("GET", path)
    assert len(answer.content) == descriptor["size"]
    return answer.content


@pytest.mark.parametrize(("architecture", "platform"), [("x86_64", "amd64"), ("arm64", "arm64")])
def test_the_image_is_the_base_image_of_its_architecture_and_the_stub(
    public: DockerRegistry, private: DockerRegistry, architecture: str, platform: str
) -> None:
    name = image(public, architecture).pushed(target(private))
    assert name.startswith(f"{private.host}/terralive/terralive-stub@sha256:")
    manifest = manifest_of(private, name)
    assert manifest["mediaType"] == DOCKER_MANIFEST
    configuration = json.loads(blob_of(private, manifest["config"]))
    assert configuration["architecture"] == platform
    settings = configuration["config"]
    assert settings["Entrypoint"] == list(STUB_IMAGE_ENTRYPOINT)
    assert settings["Cmd"] == []
    assert "LAMBDA_TASK_ROOT=/var/task" in settings["Env"]
    assert len(manifest["layers"]) == len(configuration["rootfs"]["diff_ids"]) == 3
    first = gzip.decompress(blob_of(private, manifest["layers"][0]))
    assert platform.encode() * 1000 in first


def test_an_image_of_oci_types_stays_one(public: DockerRegistry, private: DockerRegistry) -> None:
    name = image(public, repository="lambda/oci").pushed(target(private))
    manifest = manifest_of(private, name)
    assert manifest["mediaType"] == OCI_MANIFEST
    assert {layer["mediaType"] for layer in manifest["layers"]} == {
        "application/vnd.oci.image.layer.v1.tar+gzip"
    }


def test_the_stub_starts_from_the_layers_files(
    public: DockerRegistry, private: DockerRegistry, tmp_path: Path
) -> None:
    manifest = manifest_of(private, image(public).pushed(target(private)))
    layer = gzip.decompress(blob_of(private, manifest["layers"][-1]))
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        archive.extractall(tmp_path / "root", filter="data")
    task = tmp_path / "root/var/task"
    assert {file for file in stub_files() if not (task / file).is_file()} == set()
    # The image's own Python is not here. The modules and what they say without arguments are.
    answer = subprocess.run(
        [sys.executable, "-S", *STUB_IMAGE_ENTRYPOINT[1:]],
        cwd=task,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode != 0
    assert "This is terralive's stub" in answer.stderr


def test_a_second_push_sends_nothing(public: DockerRegistry, private: DockerRegistry) -> None:
    first = image(public).pushed(target(private))
    sent = private.sent()
    assert len([line for line in sent if line.startswith("PUT") and "/blobs/" in line]) == 4
    assert image(public).pushed(target(private)) == first
    assert private.sent() == sent


def test_of_another_stub_only_what_is_new_is_sent(
    public: DockerRegistry, private: DockerRegistry
) -> None:
    name = image(public).pushed(target(private))
    sent = len(private.sent())
    # Another stub: its base image is there.
    layer = layer_of({**stub_files(), "extra.py": b""}, "/var/task")
    other = StubImage(image(public).base, "x86_64", layer)
    assert other.pushed(target(private)) != name
    uploads = [line for line in private.sent()[sent:] if line.startswith("PUT")]
    assert len([line for line in uploads if "/blobs/" in line]) == 2


def test_blobs_are_mounted_from_another_repository_of_the_same_registry(
    private: DockerRegistry,
) -> None:
    private.put_base("mirror/lambda/python", "3.13", ("amd64",))
    login = Login(USER, PASSWORD)
    base = Base(Repository(private.host, "mirror/lambda/python", login, is_secure=False), "3.13")
    before = len(private.sent())
    StubImage(base, "x86_64", stub_layer()).pushed(target(private))
    sent = private.sent()[before:]
    assert len([line for line in sent if "mount=" in line and line.startswith("POST")]) == 2
    assert len([line for line in sent if line.startswith("PUT") and "/blobs/" in line]) == 2


def test_a_wrong_password_is_refused_by_name(
    public: DockerRegistry, private: DockerRegistry
) -> None:
    with pytest.raises(CredentialsError) as caught:
        image(public).pushed(target(private, "wrong"))
    assert caught.value.reference == "registry-refused"
    assert "PERMISSIONS.md" in (caught.value.hint or "")


def test_a_base_image_without_the_architecture_is_named(
    public: DockerRegistry, private: DockerRegistry
) -> None:
    with pytest.raises(TerraliveError) as caught:
        image(public, "arm64", "lambda/oci").pushed(target(private))
    assert caught.value.reference == "image-base-missing"
    missing = Base(Repository(public.host, "lambda/nothing", is_secure=False), "3.13")
    with pytest.raises(TerraliveError) as caught:
        StubImage(missing, "x86_64", stub_layer()).pushed(target(private))
    assert caught.value.reference == "image-base-missing"


def test_a_registry_that_is_not_there_is_named_at_once(private: DockerRegistry) -> None:
    base = Base(Repository("127.0.0.1:9", "lambda/python", is_secure=False), "3.13")
    with pytest.raises(TerraliveError) as caught:
        StubImage(base, "x86_64", stub_layer()).pushed(target(private))
    assert caught.value.reference == "registry-unreachable"
    assert "[stub_image] base" in (caught.value.hint or "")

"""The stub's image in a real registry: what is sent, and what is there afterwards."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from terralive_cli.deploy.aws import Caller, RegistryLogin
from terralive_cli.images.layer import layer_of
from terralive_cli.images.registry import Login, Repository
from terralive_cli.images.stage_images import StageImages
from terralive_cli.images.stub_image import Base, StubImage, stub_layer
from terralive_stub.errors import CredentialsError, TerraliveError
from terralive_stub.shared.sigv4 import Credentials
from terralive_terraform.artifacts import STUB_IMAGE_BASE, STUB_IMAGE_ENTRYPOINT, stub_files
from terralive_testing.servers.docker_registry import (
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


def pushed(stub: StubImage, repository: Repository) -> str:
    prepared = stub.prepared(repository)
    prepared.push()
    return prepared.name


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
    name = pushed(image(public, architecture), target(private))
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
    name = pushed(image(public, repository="lambda/oci"), target(private))
    manifest = manifest_of(private, name)
    assert manifest["mediaType"] == OCI_MANIFEST
    assert {layer["mediaType"] for layer in manifest["layers"]} == {
        "application/vnd.oci.image.layer.v1.tar+gzip"
    }


def test_the_stub_starts_from_the_layers_files(
    public: DockerRegistry, private: DockerRegistry, tmp_path: Path
) -> None:
    manifest = manifest_of(private, pushed(image(public), target(private)))
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
    first = pushed(image(public), target(private))
    sent = private.sent()
    assert len([line for line in sent if line.startswith("PUT") and "/blobs/" in line]) == 4
    assert pushed(image(public), target(private)) == first
    assert private.sent() == sent


def test_an_image_has_its_name_before_it_is_sent(
    public: DockerRegistry, private: DockerRegistry
) -> None:
    prepared = image(public).prepared(target(private))
    assert private.sent() == []
    prepared.push()
    assert image(public).prepared(target(private)).name == prepared.name


def test_of_another_stub_only_what_is_new_is_sent(
    public: DockerRegistry, private: DockerRegistry
) -> None:
    name = pushed(image(public), target(private))
    sent = len(private.sent())
    # Another stub: its base image is there.
    layer = layer_of({**stub_files(), "extra.py": b""}, "/var/task")
    other = StubImage(image(public).base, "x86_64", layer)
    assert pushed(other, target(private)) != name
    uploads = [line for line in private.sent()[sent:] if line.startswith("PUT")]
    assert len([line for line in uploads if "/blobs/" in line]) == 2


def test_blobs_are_mounted_from_another_repository_of_the_same_registry(
    private: DockerRegistry,
) -> None:
    private.put_base("mirror/lambda/python", "3.13", ("amd64",))
    login = Login(USER, PASSWORD)
    base = Base(Repository(private.host, "mirror/lambda/python", login, is_secure=False), "3.13")
    before = len(private.sent())
    pushed(StubImage(base, "x86_64", stub_layer()), target(private))
    sent = private.sent()[before:]
    assert len([line for line in sent if "mount=" in line and line.startswith("POST")]) == 2
    assert len([line for line in sent if line.startswith("PUT") and "/blobs/" in line]) == 2


def test_a_wrong_password_is_refused_by_name(
    public: DockerRegistry, private: DockerRegistry
) -> None:
    with pytest.raises(CredentialsError) as caught:
        pushed(image(public), target(private, "wrong"))
    assert caught.value.reference == "registry-refused"
    assert "PERMISSIONS.md" in (caught.value.hint or "")


def test_a_base_image_without_the_architecture_is_named(
    public: DockerRegistry, private: DockerRegistry
) -> None:
    with pytest.raises(TerraliveError) as caught:
        pushed(image(public, "arm64", "lambda/oci"), target(private))
    assert caught.value.reference == "image-base-missing"
    missing = Base(Repository(public.host, "lambda/nothing", is_secure=False), "3.13")
    with pytest.raises(TerraliveError) as caught:
        pushed(StubImage(missing, "x86_64", stub_layer()), target(private))
    assert caught.value.reference == "image-base-missing"


def test_a_registry_that_is_not_there_is_named_at_once(private: DockerRegistry) -> None:
    base = Base(Repository("127.0.0.1:9", "lambda/python", is_secure=False), "3.13")
    with pytest.raises(TerraliveError) as caught:
        pushed(StubImage(base, "x86_64", stub_layer()), target(private))
    assert caught.value.reference == "registry-unreachable"
    assert "[stub_image] base" in (caught.value.hint or "")


@dataclass(frozen=True)
class Account:
    """A caller with a login to a registry."""

    registry: DockerRegistry
    region: str = "eu-west-1"
    emulator: str | None = None

    def registry_login(self) -> RegistryLogin:
        return RegistryLogin(USER, PASSWORD, f"http://{self.registry.host}")


def test_a_mirror_that_asks_for_a_login_is_named(private: DockerRegistry) -> None:
    base = f"{private.host}/{{region}}/lambda/python:3.13"
    images = StageImages(Account(private), base, has_registry=True)
    with pytest.raises(TerraliveError) as caught:
        images.name(f"{private.host}/terralive/terralive-stub", "arm64")
    assert caught.value.reference == "registry-unreachable"
    assert private.host in str(caught.value)


def test_the_images_of_a_stage_are_prepared_then_pushed_once(
    public: DockerRegistry, private: DockerRegistry
) -> None:
    base = f"{public.host}/lambda/python:3.13"
    images = StageImages(Account(private), base, has_registry=True)
    assert images.name("", "arm64") == "not-deployed-yet/terralive-stub:v2"
    repository = f"{private.host}/terralive/terralive-stub"
    name = images.name(repository, "arm64")
    assert (images.pending, private.sent()) == ((name,), [])
    notes: list[str] = []
    images.push(images.pending, notes.append)
    assert images.pending == ()
    assert notes[-1] == "layer 3 of 3 (the stub)"
    assert manifest_of(private, name)["mediaType"] == DOCKER_MANIFEST
    again = StageImages(Account(private), base, has_registry=True)
    assert again.name(repository, "arm64") == name
    assert again.pending == ()


def test_where_there_is_no_registry_a_tag_is_only_a_name(private: DockerRegistry) -> None:
    aws = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a/terralive-stub"
    for images in (
        StageImages(Account(private), STUB_IMAGE_BASE, has_registry=False),
        StageImages(
            Account(private, emulator="http://127.0.0.1:9"), STUB_IMAGE_BASE, has_registry=True
        ),
    ):
        name = images.name(aws, "x86_64")
        assert re.fullmatch(rf"{re.escape(aws)}:v2-[0-9a-f]{{16}}-x86_64", name)
        assert images.pending == ()


@mock_aws
def test_the_login_is_that_of_the_callers_registry() -> None:
    session = boto3.Session("k", "s", region_name="eu-west-1")
    caller = Caller(
        account="123456789012",
        arn="arn:aws:iam::123456789012:user/ana",
        region="eu-west-1",
        credentials=lambda: Credentials("k", "s", ""),
        session=session,
        endpoint_url=None,
    )
    login = caller.registry_login()
    assert login.user == "AWS"
    assert login.password
    assert login.password not in repr(login)
    assert login.endpoint.endswith(".dkr.ecr.eu-west-1.amazonaws.com")

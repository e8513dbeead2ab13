"""Deployed functions that carry a stub, as far as their settings, hashes and zips tell."""

from __future__ import annotations

import io
import zipfile

import pytest

from terralive_cli.live.stub_check import DeployedCode
from terralive_cli.restoring.stub_code import (
    TAIL_BYTES,
    Carried,
    carried,
    is_stub_image,
    is_stub_zip,
)
from terralive_terraform.artifacts import STUB_HANDLER, stub_files
from terralive_terraform.substitution.marker import StageName, live_description

STUB_SIZE = 280_000
STAGE = StageName("orders", "dev-ana")
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


def test_a_stubs_configuration_is_enough_whatever_the_code() -> None:
    own = {"sha256": "own=", "size": STUB_SIZE}
    assert carried(DeployedCode(**own, handler=STUB_HANDLER)) is Carried.STUB  # type: ignore[arg-type]
    described = DeployedCode("own=", "app.handler", description=live_description(STAGE))
    assert carried(described) is Carried.STUB


def test_a_handler_of_another_version_of_the_stub_is_a_stubs() -> None:
    assert carried(DeployedCode("x=", "terralive_stub.main.handler")) is Carried.STUB
    assert carried(DeployedCode("x=", "terralive_stubs.handler")) is Carried.OWN


@pytest.mark.parametrize(
    "command",
    [("v2", "wss://a.example/stub", "orders", "dev", "00"), ("wss://a.example/live", "orders")],
)
def test_arguments_of_a_stub_image_of_every_version(command: tuple[str, ...]) -> None:
    code = DeployedCode("x=", command=command, is_image=True)
    assert carried(code) is Carried.STUB


@pytest.mark.parametrize("size", [900, 5 * 1024 * 1024])
def test_code_that_is_much_smaller_or_larger_than_a_stub_is_the_functions_own(size: int) -> None:
    assert carried(DeployedCode("x=", "app.handler", size=size)) is Carried.OWN


def test_a_zip_of_the_stubs_size_under_the_functions_own_handler_has_to_be_looked_into() -> None:
    assert carried(DeployedCode("x=", "app.handler", size=STUB_SIZE)) is Carried.UNKNOWN


def test_an_image_tells_only_by_its_name() -> None:
    code = DeployedCode("digest", is_image=True)
    assert carried(code) is Carried.UNKNOWN
    assert is_stub_image(f"{ECR}/terralive-orders-dev-ana/terralive-stub:v2-1234", ())
    assert is_stub_image(f"{ECR}/acme/stub:v2", [f"{ECR}/acme/stub:v2"])
    assert not is_stub_image(f"{ECR}/acme/stub:v3", [f"{ECR}/acme/stub:v2"])
    assert not is_stub_image(f"{ECR}/acme/mail:1", ())
    assert not is_stub_image(f"{ECR}/acme/terralive-stubborn:1", ())


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_the_end_of_a_stubs_zip_tells_what_it_is() -> None:
    stub = zipped({**stub_files(), "terralive_settings.py": b"APP = 'orders'\n"})
    assert len(stub) > 2 * TAIL_BYTES
    assert is_stub_zip(stub[-TAIL_BYTES:])


def test_a_handler_that_mentions_the_stub_is_none() -> None:
    own = zipped({"app.py": b"import terralive_stub  # terralive_stub/live.py\n" * 2_000})
    assert not is_stub_zip(own[-TAIL_BYTES:])
    # A team that vendors the package has no settings of a stage in it.
    assert not is_stub_zip(zipped(stub_files())[-TAIL_BYTES:])

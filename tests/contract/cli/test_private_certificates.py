"""An AWS-compatible endpoint behind certificates of a private authority, as behind a proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.plain_app import plain_project
from terralive_testing.drivers.project import Project
from terralive_testing.servers.ministack import PROGRAM, Ministack, running_ministack

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not PROGRAM.exists(), reason="ministack is not installed"),
]


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    with running_ministack(tmp_path_factory.mktemp("ministack"), tls=True) as one:
        yield one


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = plain_project(tmp_path_factory.mktemp("project") / "plain")
    (made.root / "functions" / "greet" / "app.py").write_text(
        'def handler(event, context):\n    return "local"\n', "utf-8"
    )
    return made


def test_with_the_authority_in_aws_ca_bundle_terraform_relay_and_stub_connect(
    ministack: Ministack, project: Project
) -> None:
    with Command(["start", "--yes"], project.root, ministack.environment) as start:
        start.wait_for_type("ready", timeout_s=300)
        answer = ministack.client("lambda").invoke(FunctionName="plain-greet", Payload=b"{}")
        assert json.loads(answer["Payload"].read()) == "local", start.story()
        assert start.of_type("connection")[0]["state"] == "connected"


def test_without_it_the_first_call_names_the_certificate(
    ministack: Ministack, project: Project
) -> None:
    environment = dict(ministack.environment)
    del environment["AWS_CA_BUNDLE"]
    ended = run(["start", "--yes"], project.root, environment)
    assert ended.process.returncode == 4, ended.story()
    error = ended.of_type("error")[0]
    assert error["reference"] == "certificate-untrusted"
    assert "AWS_CA_BUNDLE" in error["hint"]

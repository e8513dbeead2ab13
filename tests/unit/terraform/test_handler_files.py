"""The files of a stub's zip that stand at functions' own handlers."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from terralive_terraform.artifacts import StubCoordinates, build_stub_at
from terralive_terraform.handler_files import can_answer_at, can_stand_at, handler_files, stage_in

COORDINATES = StubCoordinates("wss://api.example/stub", "shop", "dev-ana", bytes(32))


@pytest.mark.parametrize(
    "handler", ["app.handler", "src/orders/app.handler", "src.orders.app.run", "my-api/main.go_"]
)
def test_a_stub_can_stand_where_lambda_looks_for_a_python_handler(handler: str) -> None:
    assert can_stand_at(handler)


@pytest.mark.parametrize(
    "handler",
    [
        "",
        "app",
        "app.my-handler",
        "/app.handler",
        "../app.handler",
        "terralive_stub.live.handler",
        "websocket/app.handler",
        "logging.handler",
    ],
)
def test_no_stub_stands_elsewhere_or_hides_a_module_that_it_needs(handler: str) -> None:
    assert not can_stand_at(handler)


def test_folders_are_packages_and_a_module_may_have_modules_below_it() -> None:
    files = handler_files(["app.handler", "app.orders.run", "src/job.main", "src/job.other"])

    assert sorted(files) == ["app/__init__.py", "app/orders.py", "src/__init__.py", "src/job.py"]
    assert files["src/__init__.py"] == b""
    assert b"import handler as handler\n" in files["app/__init__.py"]
    assert b"import handler as main\n" in files["src/job.py"]
    assert b"import handler as other\n" in files["src/job.py"]


def test_python_finds_the_stub_at_the_functions_handler(tmp_path: Path) -> None:
    made = build_stub_at(COORDINATES, ["src/orders.run"], tmp_path)
    assert build_stub_at(COORDINATES, ["src/orders.run"], tmp_path) == made
    assert build_stub_at(COORDINATES, ["app.run"], tmp_path).path != made.path

    # Without Lambda's Runtime API, as in an emulator that calls the handler itself.
    program = (
        f"import sys; sys.path.insert(0, {str(made.path)!r})\n"
        "import src.orders, terralive_stub.live\n"
        "print(src.orders.run is terralive_stub.live.handler)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, check=True)
    assert done.stdout == b"True\n"


def test_the_end_of_the_zip_names_the_stage(tmp_path: Path) -> None:
    made = build_stub_at(COORDINATES, ["app.run"], tmp_path)
    with zipfile.ZipFile(made.path) as zipped:
        assert "terralive_stage/shop/dev-ana.txt" in zipped.namelist()

    assert stage_in(made.path.read_bytes()[-64 * 1024 :]) == ("shop", "dev-ana")
    assert stage_in(b"terralive_stub/live.py") is None


def test_javascript_stands_at_the_handler_beside_the_stub(tmp_path: Path) -> None:
    assert can_answer_at("dist/orders/index.handler")
    assert not can_answer_at("index.api.handler")

    made = build_stub_at(COORDINATES, ["dist/orders/index.handler"], tmp_path, version="3")

    with zipfile.ZipFile(made.path) as zipped:
        assert "dist/orders/index.py" in zipped.namelist()
        assert zipped.read("dist/orders/index.js").decode().splitlines() == [
            'const { answerFrom } = require("../../answer_from_version.js");',
            'exports.handler = answerFrom("3");',
        ]
        assert "answer_from_version.js" in zipped.namelist()
    assert build_stub_at(COORDINATES, ["dist/orders/index.handler"], tmp_path, version="4") != made

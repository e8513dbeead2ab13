"""A start knows the functions that the last session on this machine served."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_cli.live import last_session
from terralive_stub.shared.json_documents import Json
from terralive_workers.function import Build, Debugger, LayerPart, LocalFunction

URL = "wss://relay.example.com/relay"


def function(folder: Path, name: str = "orders") -> LocalFunction:
    return LocalFunction(
        name=name,
        arn=f"arn:aws:lambda:eu-west-1:123456789012:function:{name}",
        label=f"{name} (eu-west-1)",
        address=f'module.shop.aws_lambda_function.{name}["eu"]',
        runtime="python3.12",
        handler="app.handler",
        path=folder,
        python=Path(sys.executable),
        node=Path("node"),
        command=("./run", "--fast"),
        watch=("src/**",),
        build=Build("make code", folder),
        max_workers=3,
        allow_variables=("NODE_OPTIONS",),
        roots=(folder / "packages" / "core",),
        layers=(LayerPart(folder / "layer"), LayerPart(folder / "a.py", "python/a.py", "arn")),
        also_watched=(folder / "layer",),
    )


def written(file: Path, *functions: LocalFunction) -> dict[str, Json]:
    last_session.write(file, URL, functions)
    document: dict[str, Json] = json.loads(file.read_text("utf-8"))
    return document


def test_the_functions_of_the_last_session_are_known_as_they_were(tmp_path: Path) -> None:
    functions = (function(tmp_path), replace(function(tmp_path, "mails"), build=None, label=""))
    written(tmp_path / "session.json", *functions)
    assert last_session.read(tmp_path / "session.json", URL) == functions


def test_a_debugger_is_for_one_session(tmp_path: Path) -> None:
    debugged = replace(function(tmp_path), debugger=Debugger(5678))
    written(tmp_path / "session.json", debugged)
    assert last_session.read(tmp_path / "session.json", URL) == (function(tmp_path),)


def test_only_the_user_can_read_the_file_also_where_another_one_was_there(tmp_path: Path) -> None:
    file = tmp_path / "session.json"
    file.write_text("{}")
    file.chmod(0o644)
    (tmp_path / "session.json.new").write_text("a start was killed here")
    written(file, function(tmp_path))
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["session.json"]


def test_nothing_is_known_without_a_file_or_of_another_debug_stack(tmp_path: Path) -> None:
    file = tmp_path / "session.json"
    assert last_session.read(file, URL) == ()
    written(file, function(tmp_path))
    assert last_session.read(file, "wss://other.example.com/relay") == ()


def test_a_function_whose_code_is_gone_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "session.json"
    gone = replace(function(tmp_path, "gone"), path=tmp_path / "gone")
    without_python = replace(function(tmp_path, "venv"), python=tmp_path / "venv/bin/python")
    written(file, gone, function(tmp_path), without_python)
    assert last_session.read(file, URL) == (function(tmp_path),)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", "{}", "\udcff", '{"format": 1}', '{"functions": [1]}']
)
def test_a_damaged_file_is_ignored(tmp_path: Path, content: str) -> None:
    file = tmp_path / "session.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert last_session.read(file, URL) == ()


@pytest.mark.parametrize("key", ["format", "version"])
def test_a_file_of_another_version_is_ignored(tmp_path: Path, key: str) -> None:
    file = tmp_path / "session.json"
    document = written(file, function(tmp_path))
    file.write_text(json.dumps({**document, key: "0.0.1"}))
    assert last_session.read(file, URL) == ()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_workers", 0),
        ("max_workers", float("inf")),
        ("max_workers", None),
        ("arn", 1),
        ("name", ""),
        ("path", None),
        ("python", []),
    ],
)
def test_a_damaged_function_is_left_out(tmp_path: Path, key: str, value: Json) -> None:
    file = tmp_path / "session.json"
    document = written(file, function(tmp_path))
    assert isinstance(document["functions"], list)
    assert isinstance(document["functions"][0], dict)
    document["functions"][0][key] = value
    file.write_text(json.dumps(document))
    assert last_session.read(file, URL) == ()

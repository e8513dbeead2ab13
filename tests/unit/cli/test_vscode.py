"""The launch.json that `terralive init --vscode` writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_cli.editors.vscode import attaching, merged
from terralive_stub.errors import ConfigurationError
from terralive_workers.function import LocalCode

FILE = Path("/project/.vscode/launch.json")
PROJECT = Path("/project")
CODE = LocalCode(
    address="aws_lambda_function.api",
    runtime="python3.12",
    handler="app.handler",
    path=PROJECT / "code",
    python=Path("python"),
)
OURS = attaching(CODE, 5678, PROJECT)
COMMENTED = """{
    // Use IntelliSense to learn about possible attributes, "configurations": [ and so on.
    "version": "0.2.0",
    "configurations": [
        { "name": "Mine", "request": "launch", "url": "http://x", }, /* kept */
    ]
}
"""


def test_a_new_file_attaches_with_path_mapping() -> None:
    (made,) = json.loads(merged("", [OURS], FILE))["configurations"]
    assert (made["type"], made["request"], made["connect"]) == (
        "debugpy",
        "attach",
        {"host": "127.0.0.1", "port": 5678},
    )
    assert made["pathMappings"] == [
        {"localRoot": "${workspaceFolder}/code", "remoteRoot": "/project/code"}
    ]


def test_node_functions_are_attached_to_by_their_inspector() -> None:
    made = attaching(replace(CODE, runtime="nodejs22.x", path=Path("/elsewhere")), 9229, PROJECT)
    assert (made["type"], made["request"], made["address"], made["port"]) == (
        "node",
        "attach",
        "127.0.0.1",
        9229,
    )
    assert (made["localRoot"], made["remoteRoot"]) == ("/elsewhere", "/elsewhere")


def test_breakpoints_in_typescript_are_found_by_the_maps_of_the_code_folder() -> None:
    code = replace(CODE, runtime="nodejs22.x", path=PROJECT / "dist")
    made = attaching(code, 9229, PROJECT)
    assert made["outFiles"] == [
        "${workspaceFolder}/dist/**/*.js",
        "${workspaceFolder}/dist/**/*.mjs",
        "${workspaceFolder}/dist/**/*.cjs",
        "!**/node_modules/**",
    ]
    assert made["resolveSourceMapLocations"] == [
        "${workspaceFolder}/dist/**",
        "!**/node_modules/**",
    ]
    outside = attaching(replace(code, path=Path("/elsewhere/dist")), 9229, PROJECT)
    assert "/elsewhere/dist/**" in str(outside["resolveSourceMapLocations"])


def test_what_is_there_stays_to_the_letter_comments_too() -> None:
    after = merged(COMMENTED, [OURS], FILE)
    at = COMMENTED.index("\n        { ")
    assert after.startswith(COMMENTED[:at])
    assert after.endswith(COMMENTED[at:])
    (mine,) = json.loads(after[at : -len(COMMENTED[at:])].join("[]").replace(",]", "]"))
    assert mine == OURS
    assert merged(after, [OURS], FILE) == after


def test_a_configuration_of_ours_gives_way_to_its_next_version_and_nothing_else_does() -> None:
    before = json.dumps(
        {"configurations": [{"name": "Mine"}, {**OURS, "port": 1}], "compounds": []}
    )
    after = json.loads(merged(before, [OURS], FILE))
    assert after == {"configurations": [OURS, {"name": "Mine"}], "compounds": []}
    assert json.loads(merged('{"configurations": []}', [OURS], FILE)) == {"configurations": [OURS]}


@pytest.mark.parametrize(
    "before",
    [
        "{",
        "[]",
        '{"version": "0.2.0"}',
        '{"configurations": [{"name": "terralive: api"}] // mine\n}',
    ],
)
def test_what_cannot_be_merged_is_refused_with_what_to_put_in(before: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        merged(before, [OURS], FILE)
    assert '"terralive: api"' in caught.value.hint

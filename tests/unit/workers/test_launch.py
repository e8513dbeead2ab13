from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_stub.errors import ConfigurationError
from terralive_workers.function import Debugger, LocalFunction
from terralive_workers.launch import NODE_BOOTSTRAP, PYTHON_BOOTSTRAP, launch_of
from terralive_workers.node import switched_off

FUNCTION = LocalFunction(
    name="orders",
    arn="arn:aws:lambda:eu-west-1:123456789012:function:orders",
    address="aws_lambda_function.orders",
    runtime="python3.12",
    handler="app.handler",
    path=Path("/home/ana/orders"),
    python=Path("/venv/bin/python"),
    node=Path("/home/ana/bin/node"),
)
NODE_FUNCTION = replace(FUNCTION, runtime="nodejs22.x")
DEBUGGER = Debugger(5678, wait=True, freeze_time=True, debugpy=Path("/venv/debugpy"))


def test_a_python_function_runs_the_bootstrap_with_the_projects_python() -> None:
    launch = launch_of(FUNCTION)
    assert launch.command == ("/venv/bin/python", str(PYTHON_BOOTSTRAP), "app.handler")
    assert not launch.own_port


def test_a_node_function_runs_the_bootstrap_with_the_projects_node() -> None:
    launch = launch_of(NODE_FUNCTION)
    assert launch.command == ("/home/ana/bin/node", str(NODE_BOOTSTRAP), "app.handler")
    assert not launch.own_port


OFF = ("--no-experimental-require-module", "--no-experimental-detect-module")


@pytest.mark.parametrize(
    ("runtime", "version", "given", "expected"),
    [
        ("nodejs22.x", "20.20.2", "", OFF),
        ("nodejs22.x", "22.18.0", "", OFF),
        ("nodejs22.x", "24.1.0", "", OFF),
        ("nodejs20.x", "22.18.0", "", OFF[:1]),
        ("nodejs24.x", "24.1.0", "", OFF[:1]),
        ("nodejs24.x", "24.1.0", "--experimental-require-module", ()),
        ("nodejs18.x", "20.20.2", "", ()),
        ("nodejs22.x", "20.16.0", "", OFF[1:]),
        ("nodejs22.x", "18.20.0", "", ()),  # it has neither, and would not start
        ("nodejs22.x", "99.0.0", "", ()),
        ("nodejs22.x", None, "", ()),
        ("nodejs22.x", "22.18.0", "--experimental-require-module --no-warnings", OFF[1:]),
        ("nodejs22.x", "22.18.0", "--no-experimental-require-module", OFF),
    ],
)
def test_a_local_node_lacks_what_lambda_switches_off(
    runtime: str, version: str | None, given: str, expected: tuple[str, ...]
) -> None:
    assert switched_off(runtime, version, given) == expected


def test_a_custom_runtime_is_the_bootstrap_in_the_functions_code() -> None:
    launch = launch_of(replace(FUNCTION, runtime="provided.al2023"))
    assert launch.command == ("/home/ana/orders/bootstrap",)
    assert launch.own_port


def test_a_command_takes_precedence_over_the_runtime() -> None:
    function = replace(FUNCTION, runtime="java21", command=("java", "-jar", "app.jar"))
    assert launch_of(function).command == ("java", "-jar", "app.jar")
    assert launch_of(function, ["mine"]).command == ("mine",)
    assert launch_of(function).own_port


def test_a_runtime_without_a_command_is_an_error_with_the_line_to_add() -> None:
    with pytest.raises(ConfigurationError) as raised:
        launch_of(replace(FUNCTION, runtime="java21"))
    assert "java21" in str(raised.value)
    assert "[functions.'aws_lambda_function.orders'] command = " in str(raised.value.hint)


@pytest.mark.parametrize(
    ("function", "option"),
    [(FUNCTION, "-Xfrozen_modules=off"), (NODE_FUNCTION, "--inspect-publish-uid=http")],
)
def test_a_debugged_worker_gets_the_port_and_the_settings_of_its_debugger(
    function: LocalFunction, option: str
) -> None:
    *command, argument = launch_of(replace(function, debugger=DEBUGGER), debug_port=41000).command
    assert command[1] == option
    settings = json.loads(argument)
    assert settings.get("debug", settings) == {
        "port": 41000,
        "wait": True,
        "freeze_time": True,
        "debugpy": "/venv/debugpy",
    }

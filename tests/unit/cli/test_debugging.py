"""`start --debug`.

What is typed, which ports functions have, and what is refused before a deployment.
"""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_cli.functions.debugging import Debugging, ports_of
from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_workers.function import LocalCode, LocalFunction

PYTHON = Path(sys.executable)
API = DeclaredFunction(
    "aws_lambda_function.api", "api", runtime="python3.12", function_name="orders-api"
)
SNS = DeclaredFunction("module.a.aws_lambda_function.sns[0]", "sns", runtime="python3.12")
FUNCTIONS = (API, replace(SNS, address="module.a.aws_lambda_function.sns"))


def code(address: str, runtime: str = "python3.12", python: Path = PYTHON) -> LocalCode:
    return LocalCode(
        address=address,
        runtime=runtime,
        handler="app.handler",
        path=Path("/code"),
        python=python,
    )


def deployed(address: str, name: str) -> LocalFunction:
    return code(address).deployed_as(name, address, arn=name)


@pytest.mark.parametrize("typed", ["api:http", ":5678", "api:0", "api:70000", "api:"])
def test_what_is_no_port_is_refused(typed: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Debugging.of([typed])
    assert caught.value.reference == "debug-options"


def test_how_to_debug_without_saying_what_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="--debug-wait"):
        Debugging.of([], wait=True)


def test_every_function_has_a_port_of_its_own_whichever_are_debugged() -> None:
    node = DeclaredFunction("aws_lambda_function.web", "web", runtime="nodejs22.x")
    custom = DeclaredFunction("aws_lambda_function.go", "go", runtime="provided.al2023")
    own = {API.address: 5678, "module.a.aws_lambda_function.sns": 5679, node.address: 9229}
    assert ports_of((node, custom, *FUNCTIONS), ()) == own
    image = DeclaredFunction("aws_lambda_function.image", "image", package_type="Image")
    assert ports_of((*FUNCTIONS, image), [code(image.address)])[image.address] == 5680


def test_only_debugged_functions_get_a_debugger_and_run_one_invocation_at_a_time() -> None:
    address = "module.a.aws_lambda_function.sns"
    mapped = (
        deployed(API.address, "orders-api"),
        deployed(f"{address}[0]", "s0"),
        deployed(f"{address}[1]", "s1"),
    )
    debugging = Debugging.of(["sns"], freeze_time=True)
    api, first, second = debugging.with_debuggers(FUNCTIONS, (), mapped)
    assert (api.debugger, api.max_workers) == (None, 16)
    assert first.debugger is not None
    assert second.debugger is not None
    assert (first.debugger.port, second.debugger.port, first.max_workers) == (5679, 5680, 1)
    assert (first.debugger.wait, first.debugger.freeze_time) == (False, True)
    one = Debugging.of([f"{address}[1]:7000"]).with_debuggers(FUNCTIONS, (), mapped)
    assert [item.debugger.port if item.debugger is not None else 0 for item in one] == [0, 0, 7000]


def test_the_deployed_name_of_one_of_several_instances_is_that_instance() -> None:
    address = "module.a.aws_lambda_function.sns"
    instances = tuple(
        PlannedFunction(f"{address}[{index}]", "module.a", name=f"s{index}") for index in range(2)
    )
    functions = (API, replace(SNS, address=address, instances=instances))
    mapped = (deployed(f"{address}[0]", "s0"), deployed(f"{address}[1]", "s1"))
    found = Debugging.of(["s1"]).with_debuggers(functions, (), mapped)
    assert [item.debugger is not None for item in found] == [False, True]


def refused(typed: list[str], *local: LocalCode) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        Debugging.of(typed).check(FUNCTIONS, local or (code(API.address),))
    return caught.value


def test_a_function_that_is_not_there_is_refused_with_the_nearest_name() -> None:
    error = refused(["order-api"])
    assert error.reference == "debug-function-unknown"
    assert 'Did you mean "orders-api"?' in error.message


@pytest.mark.parametrize("typed", ["worker", "module.worker.this", "worker:7000"])
def test_a_module_s_only_function_has_the_name_under_which_it_is_shown(typed: str) -> None:
    address = "module.worker.aws_lambda_function.this"
    functions = (API, replace(SNS, address=address, label="this"))
    mapped = (deployed(API.address, "orders-api"), deployed(address, "orders-dev-mail"))
    debugging = Debugging.of([typed])
    debugging.check(functions, [code(address)])
    assert list(debugging.raised_timeouts(functions)) == [address]
    found = debugging.with_debuggers(functions, (), mapped)
    assert [item.debugger is not None for item in found] == [False, True]


def test_a_port_in_use_is_refused_by_function() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = refused([f"api:{port}"])
    assert error.reference == "debug-port-in-use"
    assert API.address in error.message
    Debugging.of([f"api:{port}"]).check(FUNCTIONS, [code(API.address)])
    assert "aws_lambda_function.api is" in refused([f"api:{port}", f"sns:{port}"]).message


def test_a_debugger_of_an_earlier_session_listens_on_its_port_again() -> None:
    # 0 stands for any port that is free.
    function = Debugging.of(["api"], wait=True).again(deployed(API.address, "orders-api"), 0)
    assert function.debugger is not None
    assert (function.debugger.port, function.debugger.wait) == (0, True)
    assert function.max_workers == 1
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigurationError) as caught,
    ):
        Debugging.of(["api"]).again(function, taken.getsockname()[1])
    assert caught.value.reference == "debug-port-in-use"


def test_a_runtime_without_a_debugger_is_refused() -> None:
    command = replace(code(API.address), command=("./run",))
    assert refused(["api"], command).reference == "debug-not-supported"
    assert refused(["api"], code(API.address, "provided.al2023")).reference == "debug-not-supported"


def test_debugging_is_refused_where_another_user_could_attach() -> None:
    with pytest.raises(ConfigurationError, match="bob, carol") as caught:
        Debugging.of(["api"]).require_private(["bob", "carol"])
    assert caught.value.reference == "debug-port-not-private"
    assert "--debug" in str(caught.value.hint)
    Debugging.of(["api"]).require_private([])
    Debugging.of([]).require_private(["bob"])

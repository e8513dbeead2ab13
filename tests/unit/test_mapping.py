"""Which local code stands behind which function and instance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from terralive_cli.config import Config, FunctionConfig, TerraformConfig
from terralive_cli.mapping import instances, map_functions
from terralive_stub.errors import ConfigurationError
from terralive_terraform.substitution import FunctionFacts

FN = "aws_lambda_function.fn"


@pytest.fixture
def code(tmp_path: Path) -> Path:
    for name in ("api", "jobs"):
        (tmp_path / f"{name}.py").write_text("def handler(event, context): ...\n")
    return tmp_path


def facts(code: Path, handler: str = "") -> FunctionFacts:
    return FunctionFacts(
        FN, "fn", handler=handler, runtime="python3.13", path=code, repeated="for_each", instanced=True
    )


def config(code: Path, **handlers: str) -> Config:
    own = tuple(FunctionConfig(pattern, handler=handler) for pattern, handler in handlers.items())
    return Config(code, "orders", "dev", "ana", TerraformConfig(code), functions=own)


@pytest.mark.parametrize(("reserved", "runs_at_once"), [(None, 16), (3, 3), (50, 16), (0, 1)])
def test_no_more_run_at_once_than_lambda_reserves(code: Path, reserved: int | None, runs_at_once: int) -> None:
    one = FunctionFacts(FN, "fn", handler="api.handler", runtime="python3.13", path=code)
    (found,) = instances(config(code), [one], {FN: "orders"}, {FN: reserved})
    assert found.max_workers == runs_at_once


def test_each_instance_runs_the_handler_that_the_file_gives_it(code: Path) -> None:
    own = config(code, **{f'{FN}["api"]': "api.handler", f'{FN}["jobs"]': "jobs.handler"})
    mapped = map_functions(own, [facts(code)])
    assert mapped.unmapped == {}
    assert set(mapped.code) == {f'{FN}["api"]', f'{FN}["jobs"]'}
    names = {f'{FN}["api"]': "orders-api", f'{FN}["jobs"]': "orders-jobs", "aws_lambda_function.other": "other"}
    assert [(item.name, item.handler) for item in instances(own, [facts(code)], names)] == [
        ("orders-api", "api.handler"),
        ("orders-jobs", "jobs.handler"),
    ]


def test_a_deployed_name_gives_one_instance_another_handler(code: Path) -> None:
    own = config(code, **{"orders-jobs": "jobs.handler"})
    names = {f'{FN}["api"]': "orders-api", f'{FN}["jobs"]': "orders-jobs"}
    found = instances(own, [facts(code, "api.handler")], names)
    assert [item.handler for item in found] == ["api.handler", "jobs.handler"]


def test_one_handler_is_never_taken_for_all_instances_where_they_may_differ(code: Path) -> None:
    for own in (config(code), config(code, **{FN: "api.handler"}), config(code, **{"*": "api.handler"})):
        mapped = map_functions(own, [facts(code)])
        assert mapped.code == {}
        assert "differ by instance" in mapped.unmapped[FN]
    every = config(code, **{f"{FN}[*]": "api.handler"})
    assert [item.handler for item in instances(every, [facts(code)], {f'{FN}["x"]': "x"})] == ["api.handler"]


def test_an_instance_that_nobody_mapped_is_told_before_anything_is_applied(code: Path) -> None:
    own = config(code, **{f'{FN}["api"]': "api.handler"})
    assert map_functions(own, [facts(code)]).unmapped == {}
    with pytest.raises(ConfigurationError, match="jobs") as caught:
        instances(own, [facts(code)], {f'{FN}["api"]': "orders-api", f'{FN}["jobs"]': ""})
    assert caught.value.reference == "instance-unmapped"


def test_a_literal_handler_serves_all_instances_also_of_a_repeated_module(code: Path) -> None:
    address = f"module.a.{FN}"
    one = replace(facts(code, "api.handler"), address=address, repeated="")
    assert list(map_functions(config(code), [one]).code) == [address]
    assert [item.address for item in instances(config(code), [one], {f'module.a["x.y"].{FN}': "n"})] == [
        f'module.a["x.y"].{FN}'
    ]


def test_a_typing_error_in_an_instances_settings_is_told_first(code: Path) -> None:
    with pytest.raises(ConfigurationError, match="names no file"):
        map_functions(config(code, **{f'{FN}["api"]': "apo.handler"}), [facts(code, "api.handler")])

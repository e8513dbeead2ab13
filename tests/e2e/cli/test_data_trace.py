"""Data tracing writes the messages of a debug stack, with credentials, to CloudWatch."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from terralive_testing.drivers import plain_app
from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.project import Project

pytestmark = pytest.mark.timeout(300)


def turn_on(project: Project) -> list[tuple[str, str]]:
    """Turn data tracing on for all stages. Return their APIs and names."""
    gateway = project.client("apigatewayv2")
    stages = [
        (api["ApiId"], stage["StageName"])
        for api in gateway.get_apis()["Items"]
        for stage in gateway.get_stages(ApiId=api["ApiId"])["Items"]
    ]
    assert len(stages) == 2
    for api, stage in stages:
        gateway.update_stage(
            ApiId=api, StageName=stage, DefaultRouteSettings={"DataTraceEnabled": True}
        )
    return stages


def test_a_debug_stack_of_another_checkout_is_refused_before_any_function_is_live(
    tmp_path: Path,
) -> None:
    project = plain_app.plain_project(tmp_path / "first")
    with Command(["sandbox"], project.root) as sandbox:
        project.sandbox = sandbox.wait_for_type("ready")["sandbox"]
        for earlier in ("apply", "restore"):
            done = run([earlier, "--sandbox", "--yes"], project.root)
            assert done.process.returncode == 0, done.story()
        turn_on(project)
        # Another checkout has the app's state, and not the debug stack's.
        (debug_stack,) = project.root.glob(".terralive/sandbox/*/*/debug-stack")
        shutil.rmtree(debug_stack)

        refused = run(["start", "--sandbox", "--yes"], project.root)

        (error,) = refused.of_type("error")
        assert error["reference"] == "data-trace-on", refused.story()
        assert "`terralive apply` in the checkout" in error["hint"]
        function = project.client("lambda").get_function(FunctionName="plain-greet")
        assert function["Configuration"]["Handler"] == "app.handler"


def test_start_turns_off_data_tracing_that_somebody_has_turned_on(tmp_path: Path) -> None:
    project = plain_app.plain_project(tmp_path)
    with Command(["sandbox"], project.root) as sandbox:
        project.sandbox = sandbox.wait_for_type("ready")["sandbox"]
        with plain_app.start(project) as first:
            first.wait_for_type("ready", timeout_s=180)
        stages = turn_on(project)
        with plain_app.start(project) as second:
            second.wait_for_type("ready", timeout_s=180)
        gateway = project.client("apigatewayv2")
        for api, stage in stages:
            settings = gateway.get_stage(ApiId=api, StageName=stage)["DefaultRouteSettings"]
            assert not settings["DataTraceEnabled"]

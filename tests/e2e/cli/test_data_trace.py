"""Data tracing writes the messages of a debug stack, with credentials, to CloudWatch."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_testing.drivers import plain_app
from terralive_testing.drivers.command import Command

pytestmark = pytest.mark.timeout(300)


def test_start_turns_off_data_tracing_that_somebody_has_turned_on(tmp_path: Path) -> None:
    project = plain_app.plain_project(tmp_path)
    with Command(["sandbox"], project.root) as sandbox:
        project.sandbox = sandbox.wait_for_type("ready")["sandbox"]
        with plain_app.start(project) as first:
            first.wait_for_type("ready", timeout_s=180)
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
        with plain_app.start(project) as second:
            second.wait_for_type("ready", timeout_s=180)
        for api, stage in stages:
            settings = gateway.get_stage(ApiId=api, StageName=stage)["DefaultRouteSettings"]
            assert not settings["DataTraceEnabled"]

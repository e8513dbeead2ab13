"""A machine whose clock differs from AWS's."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.plain_app import plain_project
from terralive_testing.fakes.sts import serving_sts

pytestmark = pytest.mark.timeout(300)


def environment(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "AKID",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-1",
    }


@pytest.mark.parametrize(
    ("ahead_s", "text"),
    [(132, "2.2 minutes behind AWS's clock"), (-198, "3.3 minutes ahead of AWS's clock")],
)
def test_a_difference_is_a_warning_with_its_minutes(
    tmp_path: Path, ahead_s: float, text: str
) -> None:
    project = plain_project(tmp_path / "plain")
    with (
        serving_sts(ahead_s=ahead_s) as url,
        Command(["plan"], project.root, environment(url)) as plan,
    ):
        warning = plan.wait_for_type("warning")
    assert warning["reference"] == "clock-differs"
    assert text in warning["message"]


def test_a_clock_that_aws_does_not_accept_is_an_error_with_its_minutes(tmp_path: Path) -> None:
    project = plain_project(tmp_path / "plain")
    with serving_sts(refuses=True, ahead_s=3600) as url:
        ended = run(["plan"], project.root, environment(url))
    assert ended.process.returncode == 4
    error = ended.of_type("error")[0]
    assert error["reference"] == "clock-differs"
    assert "minutes behind AWS's clock" in error["message"]
    assert "network" in error["hint"]

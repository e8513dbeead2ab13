"""Which versions of live functions can be published anew, with the settings of now."""

from __future__ import annotations

from typing import Any

import pytest

from terralive_cli.code_changes.renewable import cannot_renew, former_settings
from terralive_cli.fallback.decision import Declared

VERSION: dict[str, Any] = {
    "Version": "1",
    "CodeSha256": "own",
    "Handler": "app.handler",
    "Runtime": "python3.12",
    "Role": "arn:aws:iam::123456789012:role/orders",
    "Timeout": 3,
    "MemorySize": 128,
    "Environment": {"Variables": {"TABLE": "orders"}},
}
STUB: dict[str, Any] = {**VERSION, "Version": "$LATEST", "Handler": "stub", "CodeSha256": "stub"}


def test_the_settings_of_a_version_that_are_not_those_of_now() -> None:
    assert former_settings(VERSION, STUB, 3) == ()
    changed = {**STUB, "MemorySize": 512, "Environment": {"Variables": {}}}
    assert former_settings(VERSION, changed, 3) == ("MemorySize", "Environment")


def test_the_timeout_counts_as_it_is_configured() -> None:
    debugged = {**STUB, "Timeout": 900}
    assert former_settings(VERSION, debugged, 3) == ()
    assert former_settings(VERSION, debugged, 0) == (), "where it is not known"
    assert former_settings(VERSION, STUB, 30) == ("Timeout",)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"Runtime": "python3.10"}, "its runtime is python3.10"),
        ({"Runtime": "java21"}, "its runtime is java21"),
        ({"Runtime": "nodejs22.x"}, ""),
        ({"Runtime": "nodejs22.x", "Handler": "app.v1.handler"}, "handler app.v1.handler"),
        ({"Handler": "json.handler"}, "no stub can stand at its handler json.handler"),
        ({"PackageType": "Image", "Runtime": ""}, "container image"),
        ({"Environment": {"Error": {"ErrorCode": "KMSAccessDenied"}}}, "environment variables"),
        ({"SnapStart": {"ApplyOn": "PublishedVersions"}}, "SnapStart"),
    ],
)
def test_a_version_is_published_anew_where_a_stub_can_stand_at_its_handler(
    changes: dict[str, Any], reason: str
) -> None:
    found = cannot_renew(Declared(), {**VERSION, **changes})
    assert reason in found
    assert bool(found) is bool(reason)


def test_it_is_not_where_the_configuration_takes_the_newest_version() -> None:
    assert "publish = true" in cannot_renew(Declared(publishes=True), VERSION)
    assert "output.arn reads" in cannot_renew(Declared(readers=("output.arn",)), VERSION)

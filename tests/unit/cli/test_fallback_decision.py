from __future__ import annotations

from typing import Any

import pytest

from terralive_cli.configuration.tables import FallbackChoice
from terralive_cli.fallback.decision import (
    Action,
    Decision,
    Declared,
    decide,
    needs_own_code,
)
from terralive_cli.fallback.published import (
    Published,
    description,
    is_equal,
    own_description,
    stage_of,
    stale_settings,
)
from terralive_terraform.substitution.marker import StageName

STAGE = StageName("orders", "dev-ana")
AUTO = FallbackChoice.AUTO
LATEST: dict[str, Any] = {
    "Version": "$LATEST",
    "CodeSha256": "one",
    "Handler": "app.handler",
    "Runtime": "python3.12",
    "Role": "arn:aws:iam::123456789012:role/orders",
    "Timeout": 3,
    "MemorySize": 128,
    "Environment": {"Variables": {"TABLE": "orders"}},
    "Layers": [{"Arn": "arn:aws:lambda:eu-west-1:123456789012:layer:a:1", "CodeSize": 1}],
    "LastModified": "2026-11-30T08:00:00.000+0000",
    "TracingConfig": {"Mode": "PassThrough"},
}


def version(number: int, **changes: object) -> dict[str, Any]:
    return {**LATEST, "Version": str(number), **changes}


def published(*versions: dict[str, Any], **latest: Any) -> Published:  # noqa: ANN401 - JSON
    return Published.of([{**LATEST, **latest}, *versions])


def test_a_version_is_published_where_none_equals_what_is_deployed() -> None:
    found = decide(AUTO, Declared(), published(version(1, CodeSha256="other")), STAGE)
    assert found == Decision(Action.PUBLISH, made=True)


def test_a_teams_own_version_that_equals_what_is_deployed_is_used_and_is_not_terralives() -> None:
    versions = (version(3), version(4), version(5, CodeSha256="other"))
    found = decide(AUTO, Declared(), published(*versions), STAGE)
    assert found == Decision(Action.USE, "4")


def test_a_teams_own_version_is_used_before_one_of_terralives() -> None:
    versions = (version(3), version(4, Description=description(STAGE)))
    assert decide(AUTO, Declared(), published(*versions), STAGE) == Decision(Action.USE, "3")


def test_a_second_start_uses_the_version_that_the_first_one_has_published() -> None:
    found = decide(AUTO, Declared(), published(version(7, Description=description(STAGE))), STAGE)
    assert found == Decision(Action.USE, "7", made=True)


def test_the_version_of_another_stage_is_used_and_left_to_it() -> None:
    other = description(StageName("orders", "dev-ben"))
    found = decide(AUTO, Declared(), published(version(7, Description=other)), STAGE)
    assert found == Decision(Action.USE, "7")


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (Declared(readers=("output.arn",)), "output.arn reads the newest version"),
        (Declared(publishes=True), "publish = true"),
    ],
)
def test_no_version_is_published_that_the_configuration_would_take(
    declared: Declared, reason: str
) -> None:
    found = decide(FallbackChoice.ALWAYS, declared, published(version(1, Timeout=9)), STAGE)
    assert found.action is Action.NONE
    assert reason in found.reason
    assert decide(AUTO, declared, published(version(1)), STAGE) == Decision(Action.USE, "1")


def test_a_version_with_a_snapshot_is_published_only_if_the_user_asks_for_it() -> None:
    known = published(SnapStart={"ApplyOn": "PublishedVersions"})
    found = decide(AUTO, Declared(), known, STAGE)
    assert found.action is Action.NONE
    assert "SnapStart" in found.reason
    assert decide(FallbackChoice.ALWAYS, Declared(), known, STAGE).action is Action.PUBLISH


@pytest.mark.parametrize("reserved", [0, 1])
def test_with_too_little_concurrency_the_version_serves_the_restore_only(reserved: int) -> None:
    found = decide(AUTO, Declared(reserved=reserved), published(), STAGE)
    assert found.action is Action.PUBLISH
    assert f"reserved concurrency is {reserved}" in found.reason
    assert decide(AUTO, Declared(reserved=2), published(), STAGE).reason == ""


def test_nothing_is_used_or_published_where_the_fallback_is_switched_off() -> None:
    found = decide(FallbackChoice.NEVER, Declared(), published(version(1)), STAGE)
    assert found == Decision(Action.NONE, reason="fallback = false")


@pytest.mark.parametrize(
    "changes",
    [
        {"CodeSha256": "two"},
        {"Handler": "app.other"},
        {"Timeout": 4},
        {"Role": "arn:aws:iam::123456789012:role/other"},
        {"Layers": []},
        {"Environment": {"Variables": {"TABLE": "other"}}},
        {"Environment": {"Error": {"ErrorCode": "AccessDeniedException"}}},
        {"VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}},
        {"SnapStart": {"ApplyOn": "PublishedVersions"}},
        {"EphemeralStorage": {"Size": 1024}},
        {"ImageConfigResponse": {"ImageConfig": {"Command": ["app.other"]}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_version_that_behaves_otherwise_is_not_equal(changes: dict[str, Any]) -> None:
    assert not is_equal(version(1, **changes), LATEST)


def test_what_lambda_leaves_out_or_writes_as_empty_is_equal() -> None:
    other = version(
        1,
        Description="release 1",
        LastModified="2026-11-29T08:00:00.000+0000",
        State="Active",
        TracingConfig=None,
        VpcConfig={"SubnetIds": [], "SecurityGroupIds": [], "VpcId": ""},
        EphemeralStorage={"Size": 512},
        SnapStart={"ApplyOn": "None", "OptimizationStatus": "Off"},
        ImageConfigResponse=None,
    )
    assert is_equal(other, LATEST)


def test_what_a_stub_changes_makes_a_version_not_stale() -> None:
    stub = {
        **LATEST,
        "CodeSha256": "stub",
        "Handler": "live.handler",
        "Runtime": "python3.13",
        "Layers": [],
    }
    assert stale_settings(version(1), stub) == ()
    stub["Environment"] = {"Variables": {"TABLE": "new"}}
    stub["MemorySize"] = 512
    assert stale_settings(version(1), stub) == ("MemorySize", "Environment")


def test_the_description_of_a_version_names_its_stage() -> None:
    mine = version(2, Description=description(STAGE))
    assert stage_of(mine) == STAGE
    assert stage_of(version(2, Description="release 1")) is None
    assert published(version(1), mine).made_for(STAGE) == ("2",)
    assert published(mine).made_for(StageName("orders", "dev-ben")) == ()


def test_a_version_keeps_the_functions_own_description() -> None:
    for own in ("", "Takes orders.\nAnd more.", "x" * 256):
        kept = description(STAGE, own)
        assert len(kept) <= 256
        assert stage_of(version(2, Description=kept)) == STAGE
    assert own_description(description(STAGE)) == ""
    assert own_description(description(STAGE, "Takes orders.")) == "Takes orders."
    assert own_description(description(STAGE, "x" * 256)) is None
    assert own_description("release 1") == "release 1"


@pytest.mark.parametrize(
    ("choice", "declared", "expected"),
    [
        (AUTO, Declared(), ""),
        (AUTO, Declared(publishes=True), "publish = true"),
        (AUTO, Declared(publishes=True, reserved=1), "publish = true"),
        (AUTO, Declared(publishes=True, has_snap_start=True), ""),
        (AUTO, Declared(readers=("output.arn",)), ""),
        (FallbackChoice.ALWAYS, Declared(), "fallback = true"),
        (FallbackChoice.ALWAYS, Declared(has_snap_start=True), "fallback = true"),
        (FallbackChoice.ALWAYS, Declared(publishes=True), "fallback = true"),
        (FallbackChoice.ALWAYS, Declared(reserved=1), ""),
        (FallbackChoice.ALWAYS, Declared(readers=("output.arn",)), ""),
        (FallbackChoice.NEVER, Declared(publishes=True), ""),
    ],
)
def test_a_function_that_is_not_deployed_gets_its_own_code_first_where_something_needs_it(
    choice: FallbackChoice, declared: Declared, expected: str
) -> None:
    assert needs_own_code(choice, declared) == expected

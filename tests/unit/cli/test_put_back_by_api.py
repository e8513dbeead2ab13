"""The settings that go back to a function by Lambda's API."""

from __future__ import annotations

from terralive_cli.restoring.by_api import Settings, changes_of_settings, settings_of

STUB = Settings("terralive_stub.live.handler", "python3.13", (), "Live by terralive", 900)
LAYER = "arn:aws:lambda:eu-west-1:123456789012:layer:tools:3"


def test_what_a_stub_has_replaced_goes_back() -> None:
    own = settings_of(
        {
            "Handler": "app.handler",
            "Runtime": "nodejs22.x",
            "Layers": [{"Arn": LAYER, "CodeSize": 10}],
            "Description": "Takes orders",
            "Timeout": 3,
            "SnapStart": {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"},
            "MemorySize": 512,
        }
    )
    assert changes_of_settings(STUB, own) == {
        "Handler": "app.handler",
        "Runtime": "nodejs22.x",
        "Layers": [LAYER],
        "Description": "Takes orders",
        "Timeout": 3,
        "SnapStart": {"ApplyOn": "PublishedVersions"},
    }


def test_what_is_right_already_is_not_sent() -> None:
    own = Settings("app.handler", "python3.13", (), "", 900)
    assert changes_of_settings(STUB, own) == {"Handler": "app.handler", "Description": ""}
    assert changes_of_settings(own, own) == {}


def test_a_timeout_that_is_not_known_stays() -> None:
    assert "Timeout" not in changes_of_settings(STUB, Settings("app.handler", "python3.13"))


def test_the_settings_of_an_image_go_back_also_where_it_had_none() -> None:
    stub = settings_of({"ImageConfigResponse": {"ImageConfig": {"Command": ["v2", "wss://x"]}}})
    own = settings_of({"ImageConfigResponse": {"ImageConfig": {"Command": ["app.run"]}}})
    assert changes_of_settings(stub, own) == {"ImageConfig": {"Command": ["app.run"]}}
    assert changes_of_settings(stub, settings_of({})) == {"ImageConfig": {}}

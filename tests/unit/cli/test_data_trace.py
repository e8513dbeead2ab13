"""A debug stack whose messages API Gateway would write to CloudWatch is not used."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from terralive_cli.protection.data_trace import ApiStageName, refuse_tracing, stages_of
from terralive_stub.errors import ConfigurationError
from terralive_terraform.debug_stack.settings import Endpoints

RELAY = ApiStageName("a1b2c3", "relay")
STUB = ApiStageName("d4e5f6", "stub")
OFF = {"DefaultRouteSettings": {"DataTraceEnabled": False, "ThrottlingRateLimit": 200.0}}
ON = {"DefaultRouteSettings": {"DataTraceEnabled": True}}
ON_FOR_A_ROUTE = {"RouteSettings": {"$default": {"DataTraceEnabled": True}}, **OFF}


class Account:
    """API stages with these settings. A stage that is not among them may not be read."""

    def __init__(self, settings: Mapping[ApiStageName, Mapping[str, object]]) -> None:
        self._settings = settings

    def settings(self, name: ApiStageName) -> Mapping[str, object] | None:
        return self._settings.get(name)


@pytest.mark.parametrize("tracing", [ON, ON_FOR_A_ROUTE])
@pytest.mark.parametrize("place", [RELAY, STUB])
def test_data_tracing_is_refused_with_the_stage_and_the_command_that_ends_it(
    tracing: Mapping[str, object], place: ApiStageName
) -> None:
    account = Account({RELAY: OFF, STUB: OFF, place: tracing})
    with pytest.raises(ConfigurationError) as caught:
        refuse_tracing([RELAY, STUB], account)
    assert caught.value.reference == "data-trace-on"
    assert f"--api-id {place.api} --stage-name {place.stage}" in str(caught.value.hint)


@pytest.mark.parametrize("settings", [OFF, {}, {"RouteSettings": {}}])
def test_stages_without_data_tracing_are_used(settings: Mapping[str, object]) -> None:
    refuse_tracing([RELAY, STUB], Account({RELAY: settings, STUB: settings}))


def test_a_person_who_may_not_read_the_stages_is_not_stopped() -> None:
    refuse_tracing([RELAY, STUB], Account({}))


def test_the_stages_are_those_of_the_urls() -> None:
    aws = (
        "wss://a1b2c3.execute-api.eu-west-1.amazonaws.com/relay",
        "wss://d4e5f6.execute-api.cn-north-1.amazonaws.com.cn/stub",
    )
    assert list(stages_of(aws, Endpoints())) == [RELAY, STUB]
    emulator = ["ws://a1b2c3.execute-api.localhost:4566/relay"]
    assert list(stages_of(emulator, Endpoints())) == [RELAY]
    sandbox = Endpoints("ws://127.0.0.1:4566/websocket/{api}/{stage}", "")
    urls = [f"ws://127.0.0.1:4566/websocket/{name.api}/{name.stage}" for name in (RELAY, STUB)]
    assert list(stages_of(urls, sandbox)) == [RELAY, STUB]
    assert list(stages_of(["wss://debug.example.com/relay"], Endpoints())) == []

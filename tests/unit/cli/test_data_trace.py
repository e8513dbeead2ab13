"""A debug stack whose messages API Gateway would write to CloudWatch is not used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from terralive_cli.protection.data_trace import (
    ApiStageName,
    AwsApiStages,
    refuse_tracing,
    stages_of,
)
from terralive_stub.errors import ConfigurationError, CredentialsError
from terralive_terraform.debug_stack.settings import Endpoints

if TYPE_CHECKING:
    from types_boto3_apigatewayv2 import ApiGatewayV2Client

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
@pytest.mark.parametrize("is_joined", [False, True])
def test_data_tracing_is_refused_with_the_stage_and_the_command_that_ends_it(
    tracing: Mapping[str, object],
    place: ApiStageName,
    is_joined: bool,
) -> None:
    account = Account({RELAY: OFF, STUB: OFF, place: tracing})
    with pytest.raises(ConfigurationError) as caught:
        refuse_tracing([RELAY, STUB], account, "eu-west-1", is_joined=is_joined)
    assert caught.value.reference == "data-trace-on"
    command = f"--region eu-west-1 --api-id {place.api} --stage-name {place.stage}"
    assert command in caught.value.hint
    # An apply changes a debug stack only where its state is.
    in_the_checkout = "`terralive apply` in the checkout that has the debug stack's Terraform state"
    assert (in_the_checkout in caught.value.hint) is is_joined
    # A start may have used the debug stack without a plan of it, which an apply makes.
    assert "run `terralive apply`" in caught.value.hint


@pytest.mark.parametrize("settings", [OFF, {}, {"RouteSettings": {}}])
def test_stages_without_data_tracing_are_used(settings: Mapping[str, object]) -> None:
    account = Account({RELAY: settings, STUB: settings})
    refuse_tracing([RELAY, STUB], account, "eu-west-1", is_joined=False)


def test_a_person_who_may_not_read_the_stages_is_not_stopped() -> None:
    refuse_tracing([RELAY, STUB], Account({}), "eu-west-1", is_joined=False)


class RefusingClient:
    """A client of boto3's that gets this error for every call."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def get_stage(self, **_arguments: str) -> Mapping[str, object]:
        raise self._error


def stages_with(error: Exception) -> AwsApiStages:
    return AwsApiStages(cast("ApiGatewayV2Client", RefusingClient(error)))


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "GetStage")


def test_a_permission_that_is_missing_is_no_reason_to_stop() -> None:
    assert stages_with(refusal("AccessDeniedException")).settings(RELAY) is None


@pytest.mark.parametrize(
    ("error", "reference"),
    [
        (
            ClientError({"Error": {"Code": "ExpiredTokenException"}}, "GetStage"),
            "credentials-expired",
        ),
        (refusal("TooManyRequestsException"), "aws-refused"),
        (EndpointConnectionError(endpoint_url="https://apigateway"), "aws-unreachable"),
    ],
)
def test_any_other_failure_is_explained_and_stops(error: Exception, reference: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        stages_with(error).settings(RELAY)
    assert caught.value.reference == reference


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

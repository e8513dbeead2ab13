"""Refuses a debug stack whose API stages write messages to CloudWatch.

Messages hold the events, environment variables and credentials of functions. With data tracing on,
API Gateway writes them to a log group that more people can read than may use the stage:
https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-logging.html. Terraform
deploys the stages with data tracing off, but anybody with `apigateway:PATCH` may turn it on, and
some organisations do so for every stage by automation.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from terralive_cli.deploy.aws import explained, is_denied
from terralive_cli.deploy.target import Stage
from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import section
from terralive_terraform.debug_stack.settings import Endpoints

if TYPE_CHECKING:
    from types_boto3_apigatewayv2 import ApiGatewayV2Client

_log: Final = logging.getLogger("terralive.cli")


@dataclass(frozen=True, slots=True)
class ApiStageName:
    """A stage of a WebSocket API: the API's id and the stage's name."""

    api: str
    stage: str


class ApiStages(Protocol):
    """Reads the settings of stages; see `AwsApiStages`."""

    def settings(self, name: ApiStageName) -> Mapping[str, object] | None:
        """Return what `GetStage` answers; None where the caller may not ask."""
        ...


@dataclass(frozen=True, slots=True)
class AwsApiStages:
    """The stages of an account.

    https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-stages-stagename.html
    """

    client: ApiGatewayV2Client

    def settings(self, name: ApiStageName) -> Mapping[str, object] | None:
        """Return what `GetStage` answers; None where the caller may not ask.

        Raises:
            CredentialsError: AWS did not answer.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

        try:
            found: Mapping[str, object] = self.client.get_stage(
                ApiId=name.api, StageName=name.stage
            )
        except (BotoCoreError, ClientError) as error:
            if not is_denied(error):
                raise explained(error) from None
            _log.debug("the caller may not read the stage %s", name.stage)
            return None
        return found


def stages_of(urls: Iterable[str], endpoints: Endpoints) -> Iterator[ApiStageName]:
    """Yield the stages that WebSocket URLs lead to.

    A URL of another form (a domain of the team's own) is left out.

    Args:
        urls: the debug stack's URLs.
        endpoints: the patterns that they were made from.
    """
    pattern = re.escape(endpoints.websocket)
    pattern = pattern.replace(r"\{url\}", r"wss?://(?P<id>[^./]+)\.execute-api\.[^/]+")
    pattern = pattern.replace(r"\{api\}", "(?P<id>[^/]+)")
    pattern = pattern.replace(r"\{stage\}", "(?P<stage>[^/]+)")
    for url in urls:
        found = re.fullmatch(pattern, url)
        if found is not None:
            yield ApiStageName(found["id"], found["stage"])


def require_no_tracing(stage: Stage, urls: Iterable[str], *, is_joined: bool) -> None:
    """Check that API Gateway writes no message of a debug stack to CloudWatch.

    An emulator, which is not AWS, is not asked.

    Args:
        stage: the stage.
        urls: the debug stack's URLs.
        is_joined: whether the debug stack's Terraform state is in another checkout.

    Raises:
        ConfigurationError: `data-trace-on`.
        CredentialsError: AWS did not answer.
    """
    caller = stage.target.caller
    if caller.emulator is not None:
        return
    client = caller.session.client("apigatewayv2", endpoint_url=caller.endpoint_url)
    names = stages_of(urls, stage.target.endpoints)
    refuse_tracing(names, AwsApiStages(client), stage.target.region, is_joined=is_joined)


def refuse_tracing(
    stages: Iterable[ApiStageName], account: ApiStages, region: str, *, is_joined: bool
) -> None:
    """Check that no stage writes messages to CloudWatch.

    Args:
        stages: the stages of the debug stack.
        account: reads their settings.
        region: their region.
        is_joined: whether the debug stack's Terraform state is in another checkout.

    Raises:
        ConfigurationError: `data-trace-on`.
    """
    for name in stages:
        settings = account.settings(name)
        if settings is None or not traces(settings):
            continue
        raise ConfigurationError(
            "data-trace-on",
            f"Data tracing is on for the stage {name.stage} of the debug stack (API {name.api}): "
            "API Gateway writes every message to CloudWatch, with the credentials and environment "
            "variables of your functions.",
            hint=_hint(name, region, is_joined=is_joined),
        )


def _hint(name: ApiStageName, region: str, *, is_joined: bool) -> str:
    command = (
        f"`aws apigatewayv2 update-stage --region {region} --api-id {name.api} --stage-name "
        f"{name.stage} --default-route-settings DataTraceEnabled=false`"
    )
    turn_off = (
        "Something has turned it on after the deployment. Turn it off: run `terralive apply`, "
        f"or {command}."
    )
    if is_joined:
        turn_off = (
            "Turn it off: run `terralive apply` in the checkout that has the debug stack's "
            f"Terraform state, or {command}."
        )
    return (
        f"{turn_off} If an automation turns it on again, ask your security team to exempt APIs "
        "with the tag terralive:app (docs/SECURITY-TEAM.md)."
    )


def traces(settings: Mapping[str, object]) -> bool:
    """Tell whether a stage, or one of its routes, has data tracing on."""
    of_routes = section(settings, "RouteSettings").values()
    for item in (settings.get("DefaultRouteSettings"), *of_routes):
        if isinstance(item, dict) and item.get("DataTraceEnabled") is True:
            return True
    return False

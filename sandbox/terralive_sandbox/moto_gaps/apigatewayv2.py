"""API Gateway v2's control plane: stages that change and have tags."""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias
from urllib.parse import unquote

from moto.apigatewayv2 import urls as apigatewayv2_urls
from moto.apigatewayv2.models import ApiGatewayV2Backend, Stage
from moto.apigatewayv2.responses import ApiGatewayV2Response

from .errors import not_emulated, refusing

_Answer: TypeAlias = tuple[int, dict[str, str], str]


def apply() -> None:
    """Close all of them."""
    apis_of_one_call_are_refused()
    stages_can_be_changed()
    stages_can_be_tagged()


def apis_of_one_call_are_refused() -> None:
    """Moto drops quick create's target, and reads little of what an OpenAPI document says of a route."""
    create = ApiGatewayV2Response.create_api

    def create_api(self: ApiGatewayV2Response) -> Any:  # noqa: ANN401 - moto's
        if json.loads(self.body).get("target"):
            raise not_emulated("quick create of HTTP APIs; declare their route, integration and stage")
        return create(self)

    ApiGatewayV2Response.create_api = create_api  # type: ignore[method-assign] # the gap
    documents = refusing("OpenAPI documents of HTTP APIs; declare routes and integrations")
    ApiGatewayV2Backend.reimport_api = documents  # type: ignore[method-assign] # the gap


def stages_can_be_changed() -> None:
    """https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-stages-stagename.html (PATCH)."""
    fields = {
        "accessLogSettings": "access_log_settings",
        "autoDeploy": "auto_deploy",
        "clientCertificateId": "client_certificate_id",
        "defaultRouteSettings": "default_route_settings",
        "deploymentId": "deployment_id",
        "description": "description",
    }

    def update_stage(self: ApiGatewayV2Response) -> tuple[int, dict[str, str], str]:
        api, _, name = self.path.split("/")[-3:]
        stage = self.apigatewayv2_backend.get_stage(api, unquote(name))
        changes = json.loads(self.body)
        for key, attribute in fields.items():
            if key in changes:
                setattr(stage, attribute, changes[key])
        stage.route_settings = {**stage.route_settings, **changes.get("routeSettings", {})}
        # an empty value removes a variable
        variables = {**stage.stage_variables, **changes.get("stageVariables", {})}
        stage.stage_variables = {key: value for key, value in variables.items() if value}
        return 200, {}, json.dumps(stage.to_json())

    def delete_route_settings(self: ApiGatewayV2Response) -> _Answer:
        api, _, name, _, key = unquote(self.path).split("/", 7)[3:]
        self.apigatewayv2_backend.get_stage(api, name).route_settings.pop(key, None)
        return 204, {}, ""

    def delete_access_log_settings(self: ApiGatewayV2Response) -> _Answer:
        api, _, name = self.path.split("/")[3:6]
        self.apigatewayv2_backend.get_stage(api, unquote(name)).access_log_settings = None
        return 204, {}, ""

    for path in ("routesettings/(?P<route_key>.+)$", "accesslogsettings$"):
        stage = "{0}/v2/apis/(?P<api_id>[^/]+)/stages/(?P<stage_name>[^/]+)"
        apigatewayv2_urls.url_paths[f"{stage}/{path}"] = ApiGatewayV2Response.dispatch
    for operation in (update_stage, delete_route_settings, delete_access_log_settings):
        setattr(ApiGatewayV2Response, operation.__name__, operation)


def stages_can_be_tagged() -> None:
    """Not only APIs have tags: https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/tags-resource-arn.html."""
    path = "{0}/v2/tags/(?P<arn>[^/]+)/apis/(?P<api_id>[^/]+)/stages/(?P<stage_name>[^/]+)$"
    apigatewayv2_urls.url_paths[path] = ApiGatewayV2Response.dispatch
    tag, untag, get = (
        ApiGatewayV2Backend.tag_resource,
        ApiGatewayV2Backend.untag_resource,
        ApiGatewayV2Backend.get_tags,
    )

    def stage_of(backend: ApiGatewayV2Backend, arn: str) -> Stage | None:
        found = re.search(r"/apis/([^/]+)/stages/([^/]+)$", arn)
        return backend.get_stage(found[1], found[2]) if found else None

    def tag_resource(self: ApiGatewayV2Backend, resource_arn: str, tags: dict[str, str]) -> None:
        stage = stage_of(self, resource_arn)
        if stage is None:
            tag(self, resource_arn, tags)
        else:
            stage.tags = {**stage.tags, **tags}

    def untag_resource(self: ApiGatewayV2Backend, resource_arn: str, tag_keys: list[str]) -> None:
        stage = stage_of(self, resource_arn)
        if stage is None:
            untag(self, resource_arn, tag_keys)
        else:
            stage.tags = {key: value for key, value in stage.tags.items() if key not in tag_keys}

    def get_tags(self: ApiGatewayV2Backend, resource_id: str) -> dict[str, str]:
        stage = stage_of(self, resource_id)
        return get(self, resource_id) if stage is None else stage.tags

    ApiGatewayV2Backend.tag_resource = tag_resource  # type: ignore[method-assign] # the gap
    ApiGatewayV2Backend.untag_resource = untag_resource  # type: ignore[method-assign] # the gap
    ApiGatewayV2Backend.get_tags = get_tags  # type: ignore[method-assign] # the gap

"""API Gateway v2's control plane: stages that change and have tags."""

from __future__ import annotations

import json
import re
from typing import TypeAlias
from urllib.parse import unquote

from moto.apigatewayv2 import urls as apigatewayv2_urls
from moto.apigatewayv2.models import ApiGatewayV2Backend, Stage
from moto.apigatewayv2.responses import ApiGatewayV2Response

_Answer: TypeAlias = tuple[int, dict[str, str], str]


def apply() -> None:
    """Close all of them."""
    apis_can_be_created_quickly()
    stages_can_be_changed()
    stages_can_be_tagged()


def apis_can_be_created_quickly() -> None:
    """With a target an API has a route, an integration and a `$default` stage from the start; moto drops the target.

    https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis.html#apis-prop-createapiinput-target
    """
    create = ApiGatewayV2Response.create_api

    def create_api(self: ApiGatewayV2Response) -> _Answer:
        status, headers, body = create(self)
        given, made = json.loads(self.body), json.loads(body)
        if given.get("target"):
            api = self.apigatewayv2_backend.get_api(made["apiId"])
            is_function = ":lambda:" in given["target"]
            integration = api.create_integration(
                connection_type="INTERNET", description="", integration_method="POST" if is_function else "ANY",
                integration_type="AWS_PROXY" if is_function else "HTTP_PROXY", integration_uri=given["target"],
                credentials_arn=given.get("credentialsArn"), payload_format_version="2.0" if is_function else "1.0",
            )  # fmt: skip
            api.create_route(
                api_key_required=False, authorization_scopes=[], route_key=given.get("routeKey") or "$default",
                target=f"integrations/{integration.id}", authorization_type="NONE",
            )  # fmt: skip
            api.create_stage({"stageName": "$default", "autoDeploy": True})
        return status, headers, str(body)

    ApiGatewayV2Response.create_api = create_api  # type: ignore[method-assign] # the gap


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

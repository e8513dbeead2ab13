"""API Gateway v2: stages that change and have tags, deployments, and what is left out.

Moto has no deployments. The sandbox keeps them, and stages name them, as Terraform creates one
where stages do not deploy themselves. The routes of an API are served at once all the same
(README.md).
https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-deployments.html
"""

from __future__ import annotations

import json
import re
import time
import uuid
from typing import Any, Final, TypeAlias
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from moto.apigateway import urls as apigateway_urls
from moto.apigatewayv2 import urls as apigatewayv2_urls
from moto.apigatewayv2.exceptions import BadRequestException
from moto.apigatewayv2.models import Api, Stage
from moto.apigatewayv2.responses import ApiGatewayV2Response

from terralive_sandbox.control.moto_gaps.api_gateway import http_documents
from terralive_sandbox.control.moto_gaps.errors import api_error, not_emulated
from terralive_sandbox.control.moto_gaps.replacements import Replacements

_Answer: TypeAlias = tuple[int, dict[str, str], str]
_Deployment: TypeAlias = dict[str, object]

# The deployments of each API by their ids.
_DEPLOYMENTS: Final[WeakKeyDictionary[Api, dict[str, _Deployment]]] = WeakKeyDictionary()
# Identity sources of the two kinds of APIs.
_HTTP_SOURCE: Final = re.compile(
    r"\$(request\.(header|querystring)|context|stageVariables)\.[\w.-]+"
)
_WEBSOCKET_SOURCE: Final = re.compile(
    r"(route\.request\.(header|querystring)|context|stageVariables)\.[\w.-]+"
)
# The request's field -> the attribute of moto's stage.
_STAGE_FIELDS: Final = {
    "accessLogSettings": "access_log_settings",
    "autoDeploy": "auto_deploy",
    "clientCertificateId": "client_certificate_id",
    "defaultRouteSettings": "default_route_settings",
    "deploymentId": "deployment_id",
    "description": "description",
}


def declare(replacements: Replacements) -> None:
    """Declare the replacements."""
    _replace_what_is_left_out(replacements)
    _replace_stages(replacements)
    _add_changes_of_stages(replacements)
    _add_deployments(replacements)
    _replace_authorizers(replacements)
    _add_list_of_authorizers(replacements)
    http_documents.declare(replacements, _check_authorizer)


def _add_path(replacements: Replacements, path: str) -> None:
    """Add a path to v2's table and to v1's, as moto serves v2's paths from a copy in v1's table."""
    for urls in (apigatewayv2_urls, apigateway_urls):
        replacements.add_path(urls.url_paths, path, ApiGatewayV2Response.dispatch)


def _replace_what_is_left_out(replacements: Replacements) -> None:
    """Refuse quick create, whose target moto drops."""
    moto_create_api = ApiGatewayV2Response.create_api

    def create_api(self: ApiGatewayV2Response) -> Any:
        if json.loads(self.body).get("target"):
            raise not_emulated(
                "quick create of HTTP APIs; declare their route, integration and stage"
            )
        return moto_create_api(self)

    replacements.replace(ApiGatewayV2Response, "create_api", create_api)


def _add_list_of_authorizers(replacements: Replacements) -> None:
    """Let authorizers be listed.

    https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-authorizers.html (GET)
    """

    def get_authorizers(self: ApiGatewayV2Response) -> _Answer:
        api = self.apigatewayv2_backend.get_api(self.path.split("/")[-2])
        items = [authorizer.to_json() for authorizer in api.authorizers.values()]
        return 200, {}, json.dumps({"items": items})

    replacements.add(ApiGatewayV2Response, "get_authorizers", get_authorizers)


def _add_changes_of_stages(replacements: Replacements) -> None:
    """Let stages be changed.

    https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-stages-stagename.html
    (PATCH)
    """

    def update_stage(self: ApiGatewayV2Response) -> _Answer:
        api, _, name = self.path.split("/")[-3:]
        stage = self.apigatewayv2_backend.get_stage(api, unquote(name))
        changes = json.loads(self.body)
        for key, attribute in _STAGE_FIELDS.items():
            if key in changes:
                setattr(stage, attribute, changes[key])
        stage.route_settings = {**stage.route_settings, **changes.get("routeSettings", {})}
        # An empty value removes a variable.
        variables = {**stage.stage_variables, **changes.get("stageVariables", {})}
        stage.stage_variables = {name: value for name, value in variables.items() if value}
        return 200, {}, json.dumps(stage.to_json())

    def delete_route_settings(self: ApiGatewayV2Response) -> _Answer:
        """Delete a route's settings. Terraform does so before it changes them."""
        api, _, name, _, key = unquote(self.path).split("/", 7)[3:]
        self.apigatewayv2_backend.get_stage(api, name).route_settings.pop(key, None)
        return 204, {}, ""

    stage = "{0}/v2/apis/(?P<api_id>[^/]+)/stages/(?P<stage_name>[^/]+)"
    _add_path(replacements, stage + "/routesettings/(?P<route_key>.+)$")
    replacements.add(ApiGatewayV2Response, "update_stage", update_stage)
    replacements.add(ApiGatewayV2Response, "delete_route_settings", delete_route_settings)


def _replace_stages(replacements: Replacements) -> None:
    """Let stages have deployments and tags.

    https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/tags-resource-arn.html
    """
    moto_init = Stage.__init__
    moto_to_json = Stage.to_json

    def initialise(self: Stage, api: Api, config: dict[str, Any]) -> None:
        moto_init(self, api, config)
        self.deployment_id = config.get("deploymentId")  # type: ignore[attr-defined] # moto lacks it
        arn = f"{api.arn}/stages/{self.name}"
        backend = api.backend
        backend.tagger.delete_all_tags_for_resource(arn)  # tags of a former stage with this name
        backend.tag_resource(arn, self.tags)
        self.current_tags = lambda: backend.get_tags(arn)  # type: ignore[attr-defined] # moto lacks it

    def to_json(self: Stage) -> dict[str, Any]:
        described = moto_to_json(self)
        deployment = self.deployment_id  # type: ignore[attr-defined] # set by `initialise`
        if deployment:
            described["deploymentId"] = deployment
        described["tags"] = self.current_tags()  # type: ignore[attr-defined] # set by `initialise`
        return described

    path = "{0}/v2/tags/(?P<arn>[^/]+)/apis/(?P<api_id>[^/]+)/stages/(?P<stage_name>[^/]+)$"
    _add_path(replacements, path)
    replacements.replace(Stage, "__init__", initialise)
    replacements.replace(Stage, "to_json", to_json)


def _replace_authorizers(replacements: Replacements) -> None:
    """Check the identity sources of authorizers.

    https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-authorizers.html
    """
    moto_create_authorizer = ApiGatewayV2Response.create_authorizer
    moto_update_authorizer = ApiGatewayV2Response.update_authorizer

    def create_authorizer(self: ApiGatewayV2Response) -> Any:
        _check_authorizer(_api(self, -2), json.loads(self.body))
        _, headers, body = moto_create_authorizer(self)
        return 201, headers, body

    def update_authorizer(self: ApiGatewayV2Response) -> Any:
        api = _api(self, -3)
        before = self.apigatewayv2_backend.get_authorizer(api.api_id, self.path.split("/")[-1])
        _check_authorizer(api, {**before.to_json(), **json.loads(self.body)})
        return moto_update_authorizer(self)

    replacements.replace(ApiGatewayV2Response, "create_authorizer", create_authorizer)
    replacements.replace(ApiGatewayV2Response, "update_authorizer", update_authorizer)


def _check_authorizer(api: Api, settings: dict[str, Any]) -> None:
    """Check the settings of an authorizer. Raises BadRequestException."""
    sources = settings.get("identitySource") or []
    pattern = _HTTP_SOURCE
    if api.protocol_type == "WEBSOCKET":
        pattern = _WEBSOCKET_SOURCE
    for source in sources:
        if pattern.fullmatch(source) is None:
            raise BadRequestException(
                f"Invalid identity source expression for {api.protocol_type} APIs: {source}"
            )
    if settings.get("authorizerResultTtlInSeconds") and not sources:
        raise BadRequestException("Answers can only be kept for at least one identity source")


def _add_deployments(replacements: Replacements) -> None:
    path = "{0}/v2/apis/(?P<api_id>[^/]+)/deployments"
    _add_path(replacements, path + "$")
    _add_path(replacements, path + "/(?P<deployment_id>[^/]+)$")
    replacements.add(ApiGatewayV2Response, "create_deployment", _create_deployment)
    replacements.add(ApiGatewayV2Response, "get_deployment", _get_deployment)
    replacements.add(ApiGatewayV2Response, "update_deployment", _update_deployment)
    replacements.add(ApiGatewayV2Response, "delete_deployment", _delete_deployment)


def _create_deployment(self: ApiGatewayV2Response) -> _Answer:
    api = _api(self, -2)
    body = json.loads(self.body or "{}")
    if not api.routes:
        raise BadRequestException("Unable to deploy API because no routes exist in this API")
    deployment_id = uuid.uuid4().hex[:10]
    deployment: _Deployment = {
        "deploymentId": deployment_id,
        "createdDate": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "autoDeployed": False,
        "deploymentStatus": "DEPLOYED",
    }
    if "description" in body:
        deployment["description"] = body["description"]
    _DEPLOYMENTS.setdefault(api, {})[deployment_id] = deployment
    if body.get("stageName"):
        stage = self.apigatewayv2_backend.get_stage(api.api_id, body["stageName"])
        stage.deployment_id = deployment_id  # type: ignore[attr-defined] # set by `initialise`
    return 201, {}, json.dumps(deployment)


def _get_deployment(self: ApiGatewayV2Response) -> _Answer:
    return 200, {}, json.dumps(_deployment(self))


def _update_deployment(self: ApiGatewayV2Response) -> _Answer:
    deployment = _deployment(self)
    body = json.loads(self.body or "{}")
    if "description" in body:
        deployment["description"] = body["description"]
    return 200, {}, json.dumps(deployment)


def _delete_deployment(self: ApiGatewayV2Response) -> _Answer:
    deployment = _deployment(self)
    del _DEPLOYMENTS[_api(self, -3)][str(deployment["deploymentId"])]
    return 204, {}, ""


def _api(response: ApiGatewayV2Response, position: int) -> Api:
    """Return the API that the path's part at this position names."""
    return response.apigatewayv2_backend.get_api(response.path.split("/")[position])


def _deployment(response: ApiGatewayV2Response) -> _Deployment:
    """Return the deployment at the path's end. Raises NotFoundException."""
    deployment_id = response.path.rpartition("/")[2]
    found = _DEPLOYMENTS.get(_api(response, -3), {}).get(deployment_id)
    if found is None:
        message = f"Unable to find Deployment by name {deployment_id}"
        raise api_error("NotFoundException", message, 404)
    return found

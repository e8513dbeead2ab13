"""API Gateway v2's control plane: stages that change and have tags, deployments, and what is left out.

Deployments, which moto lacks, are kept and named by stages, as Terraform makes one where stages do
not deploy themselves; what an API serves is live at once all the same (README).
https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-deployments.html
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any, TypeAlias
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from moto.apigatewayv2 import urls as apigatewayv2_urls
from moto.apigatewayv2.exceptions import BadRequestException
from moto.apigatewayv2.models import Api, ApiGatewayV2Backend, Stage
from moto.apigatewayv2.responses import ApiGatewayV2Response
from moto.core.exceptions import JsonRESTError

from terralive_sandbox.control.moto_gaps.errors import not_emulated, refusing

_DEPLOYMENTS: WeakKeyDictionary[Api, dict[str, dict[str, object]]] = WeakKeyDictionary()
_Answer: TypeAlias = tuple[int, dict[str, str], str]


def apply() -> None:
    """Close all of them."""
    apis_of_one_call_are_refused()
    stages_can_be_changed()
    stages_have_deployments_and_tags()
    apis_can_be_deployed()


def apis_of_one_call_are_refused() -> None:
    """Moto drops quick create's target, and reads little of what an OpenAPI document says of a route."""
    create = ApiGatewayV2Response.create_api

    def create_api(self: ApiGatewayV2Response) -> Any:
        if json.loads(self.body).get("target"):
            raise not_emulated(
                "quick create of HTTP APIs; declare their route, integration and stage"
            )
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

    def delete_route_settings(
        self: ApiGatewayV2Response,
    ) -> _Answer:  # Terraform does so before it changes them
        api, _, name, _, key = unquote(self.path).split("/", 7)[3:]
        self.apigatewayv2_backend.get_stage(api, name).route_settings.pop(key, None)
        return 204, {}, ""

    path = "{0}/v2/apis/(?P<api_id>[^/]+)/stages/(?P<stage_name>[^/]+)/routesettings/(?P<route_key>.+)$"
    apigatewayv2_urls.url_paths[path] = ApiGatewayV2Response.dispatch
    for operation in (update_stage, delete_route_settings):
        setattr(ApiGatewayV2Response, operation.__name__, operation)


def apis_can_be_deployed() -> None:
    """Create, describe, change and delete."""
    path = "{0}/v2/apis/(?P<api_id>[^/]+)/deployments"
    for end in ("$", "/(?P<deployment_id>[^/]+)$"):
        apigatewayv2_urls.url_paths[path + end] = ApiGatewayV2Response.dispatch
    for method in (create_deployment, get_deployment, update_deployment, delete_deployment):
        setattr(ApiGatewayV2Response, method.__name__, method)


def stages_have_deployments_and_tags() -> None:
    """Moto keeps neither.

    Https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/tags-resource-arn.html.
    """
    path = "{0}/v2/tags/(?P<arn>[^/]+)/apis/(?P<api_id>[^/]+)/stages/(?P<stage_name>[^/]+)$"
    apigatewayv2_urls.url_paths[path] = ApiGatewayV2Response.dispatch
    make, show = Stage.__init__, Stage.to_json

    def made(self: Stage, api: Api, config: dict[str, Any]) -> None:
        make(self, api, config)
        self.deployment_id = config.get("deploymentId")  # type: ignore[attr-defined] # the gap
        arn, backend = f"{api.arn}/stages/{self.name}", api.backend
        backend.tagger.delete_all_tags_for_resource(arn)  # an earlier stage of this name had them
        backend.tag_resource(arn, self.tags)
        self.current_tags = lambda: backend.get_tags(arn)  # type: ignore[attr-defined] # the gap

    def shown(self: Stage) -> dict[str, Any]:
        deployment = self.deployment_id  # type: ignore[attr-defined] # the gap
        named = {"deploymentId": deployment} if deployment else {}
        return {**show(self), **named, "tags": self.current_tags()}  # type: ignore[attr-defined] # the gap

    Stage.__init__ = made  # type: ignore[method-assign] # the gap
    Stage.to_json = shown  # type: ignore[method-assign] # the gap


def create_deployment(self: ApiGatewayV2Response) -> _Answer:
    api, wanted = _api(self, -2), json.loads(self.body or "{}")
    if not api.routes:
        raise BadRequestException("Unable to deploy API because no routes exist in this API")
    name = uuid.uuid4().hex[:10]
    deployment = {
        "deploymentId": name,
        "createdDate": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "autoDeployed": False,
        "deploymentStatus": "DEPLOYED",
        **_described(wanted),
    }
    _DEPLOYMENTS.setdefault(api, {})[name] = deployment
    if wanted.get("stageName"):
        stage = self.apigatewayv2_backend.get_stage(api.api_id, wanted["stageName"])
        stage.deployment_id = name  # type: ignore[attr-defined] # the gap
    return 201, {}, json.dumps(deployment)


def get_deployment(self: ApiGatewayV2Response) -> _Answer:
    return 200, {}, json.dumps(_deployment(self))


def update_deployment(self: ApiGatewayV2Response) -> _Answer:
    deployment = _deployment(self)
    deployment.update(_described(json.loads(self.body or "{}")))
    return 200, {}, json.dumps(deployment)


def delete_deployment(self: ApiGatewayV2Response) -> _Answer:
    del _DEPLOYMENTS[_api(self, -3)][str(_deployment(self)["deploymentId"])]
    return 204, {}, ""


def _described(wanted: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in wanted.items() if name == "description"}


def _api(response: ApiGatewayV2Response, at: int) -> Api:
    return response.apigatewayv2_backend.get_api(response.path.split("/")[at])


def _deployment(response: ApiGatewayV2Response) -> dict[str, object]:
    name = response.path.split("/")[-1]
    found = _DEPLOYMENTS.get(_api(response, -3), {}).get(name)
    if found is None:
        error = JsonRESTError("NotFoundException", f"Unable to find Deployment by name {name}")
        error.code = 404
        raise error
    return found

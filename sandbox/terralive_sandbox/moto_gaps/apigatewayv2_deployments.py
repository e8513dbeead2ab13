"""API Gateway v2's deployments, which moto lacks: Terraform makes one where stages do not deploy themselves.

They are kept and named by stages; what an API serves is live at once all the same (README).
https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-deployments.html
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from moto.apigatewayv2 import urls as apigatewayv2_urls
from moto.apigatewayv2.exceptions import BadRequestException
from moto.apigatewayv2.models import Api, Stage
from moto.apigatewayv2.responses import ApiGatewayV2Response
from moto.core.exceptions import JsonRESTError

Answer: TypeAlias = tuple[int, dict[str, str], str]


@dataclass(slots=True)
class _Deployment:
    description: str | None
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:10])
    created: float = field(default_factory=time.time)

    def shown(self) -> dict[str, object]:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.created))
        described = {"description": self.description} if self.description is not None else {}
        status = {"autoDeployed": False, "deploymentStatus": "DEPLOYED"}
        return {"createdDate": at, "deploymentId": self.id, **status, **described}


_DEPLOYMENTS: WeakKeyDictionary[Api, dict[str, _Deployment]] = WeakKeyDictionary()


def apis_can_be_deployed() -> None:
    """Create, describe, change, list and delete; a stage keeps the deployment that it names."""
    path = "{0}/v2/apis/(?P<api_id>[^/]+)/deployments"
    for end in ("$", "/(?P<deployment_id>[^/]+)$"):
        apigatewayv2_urls.url_paths[path + end] = ApiGatewayV2Response.dispatch
    for method in (create_deployment, get_deployment, get_deployments, update_deployment, delete_deployment):
        setattr(ApiGatewayV2Response, method.__name__, method)
    make, show = Stage.__init__, Stage.to_json

    def made(self: Stage, api: Api, config: dict[str, Any]) -> None:
        make(self, api, config)
        self.deployment_id = config.get("deploymentId")  # type: ignore[attr-defined] # the gap

    def shown(self: Stage) -> dict[str, Any]:
        deployment = self.deployment_id  # type: ignore[attr-defined] # the gap
        return show(self) | ({"deploymentId": deployment} if deployment else {})

    Stage.__init__ = made  # type: ignore[method-assign] # the gap
    Stage.to_json = shown  # type: ignore[method-assign] # the gap


def create_deployment(self: ApiGatewayV2Response) -> Answer:
    api, wanted = _api(self, -2), json.loads(self.body or "{}")
    if not api.routes:
        raise BadRequestException("Unable to deploy API because no routes exist in this API")
    deployment = _Deployment(wanted.get("description"))
    _DEPLOYMENTS.setdefault(api, {})[deployment.id] = deployment
    if wanted.get("stageName"):
        stage = self.apigatewayv2_backend.get_stage(api.api_id, wanted["stageName"])
        stage.deployment_id = deployment.id  # type: ignore[attr-defined] # the gap
    return 201, {}, json.dumps(deployment.shown())


def get_deployments(self: ApiGatewayV2Response) -> Answer:
    return 200, {}, json.dumps({"items": [one.shown() for one in _DEPLOYMENTS.get(_api(self, -2), {}).values()]})


def get_deployment(self: ApiGatewayV2Response) -> Answer:
    return 200, {}, json.dumps(_deployment(self).shown())


def update_deployment(self: ApiGatewayV2Response) -> Answer:
    deployment = _deployment(self)
    deployment.description = json.loads(self.body or "{}").get("description", deployment.description)
    return 200, {}, json.dumps(deployment.shown())


def delete_deployment(self: ApiGatewayV2Response) -> Answer:
    del _DEPLOYMENTS[_api(self, -3)][_deployment(self).id]
    return 204, {}, ""


def _api(response: ApiGatewayV2Response, at: int) -> Api:
    return response.apigatewayv2_backend.get_api(response.path.split("/")[at])


def _deployment(response: ApiGatewayV2Response) -> _Deployment:
    name = response.path.split("/")[-1]
    found = _DEPLOYMENTS.get(_api(response, -3), {}).get(name)
    if found is None:
        error = JsonRESTError("NotFoundException", f"Unable to find Deployment by name {name}")
        error.code = 404
        raise error
    return found

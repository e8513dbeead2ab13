"""REST APIs in the sandbox, and addresses of HTTP and REST APIs and requests to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from terralive_testing.deployers.sandbox import Aws, unique

# A bound for a server that hangs. On a busy machine, a function may start for longer than the five
# seconds that httpx waits by itself.
_SECONDS = 60.0


def at(aws: Aws, api: str, stage: str, path: str = "/") -> str:
    """Return the address of a path of an HTTP or REST API."""
    return aws.info.http_url.format(api=api, stage=stage) + path


def fetch(method: str, url: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
    """Send an HTTP request."""
    return httpx.request(method, url, **{"timeout": _SECONDS, **options})


def lambda_uri(aws: Aws, function: str) -> str:
    """Return the URI of a function in integrations and authorizers."""
    service = f"arn:aws:apigateway:{aws.info.region}:lambda"
    return f"{service}:path/2015-03-31/functions/{function}/invocations"


def streaming_uri(aws: Aws, function: str) -> str:
    """Return the URI of a function in an integration that streams."""
    service = f"arn:aws:apigateway:{aws.info.region}:lambda"
    return f"{service}:path/2021-11-15/functions/{function}/response-streaming-invocations"


class RestApi:
    """A REST API that a test builds step by step."""

    def __init__(self, aws: Aws, **settings: Any) -> None:  # noqa: ANN401 - boto3's own
        self.aws = aws
        self._client: Any = aws.rest
        self.id = aws.rest.create_rest_api(name=unique("rest"), **settings)["id"]
        root = aws.rest.get_resources(restApiId=self.id)["items"][0]["id"]
        self._resources = {"/": root}

    def resource(self, path: str) -> str:
        if path not in self._resources:
            parent, _, part = path.rpartition("/")
            made = self.aws.rest.create_resource(
                restApiId=self.id, parentId=self.resource(parent or "/"), pathPart=part
            )
            self._resources[path] = made["id"]
        return self._resources[path]

    def method(
        self,
        method: str,
        path: str,
        uri: str = "",
        *,
        kind: str = "AWS_PROXY",
        mapped: Mapping[str, str] | None = None,
        mode: str = "BUFFERED",
        **settings: Any,  # noqa: ANN401
    ) -> None:
        where: dict[str, Any] = {
            "restApiId": self.id,
            "resourceId": self.resource(path),
            "httpMethod": method,
        }
        self._client.put_method(
            **where, authorizationType=settings.pop("authorizationType", "NONE"), **settings
        )
        self._client.put_integration(
            **where,
            type=kind,
            integrationHttpMethod="POST",
            uri=uri,
            requestParameters=dict(mapped or {}),
            responseTransferMode=mode,
        )

    def deploy(self, stage: str = "dev", variables: Mapping[str, str] | None = None) -> None:
        deployment = self.aws.rest.create_deployment(restApiId=self.id)["id"]
        self.aws.rest.create_stage(
            restApiId=self.id,
            stageName=stage,
            deploymentId=deployment,
            variables=dict(variables or {}),
        )

    def redeploy(self, stage: str = "dev") -> None:
        self.aws.rest.create_deployment(restApiId=self.id, stageName=stage)

    def ask(self, method: str, path: str, stage: str = "dev", **options: Any) -> httpx.Response:  # noqa: ANN401
        return fetch(method, at(self.aws, self.id, stage, path), **options)


def rest_api(aws: Aws, function: str, *methods: str, **settings: Any) -> RestApi:  # noqa: ANN401
    """A deployed REST API with all methods to one function."""
    api = RestApi(aws, **settings)
    for method, _, path in (name.partition(" ") for name in methods):
        api.method(method, path, lambda_uri(aws, function))
    aws.allow(function, "apigateway.amazonaws.com", f"{aws.execution_arn(api.id)}/*/*")
    api.deploy()
    return api

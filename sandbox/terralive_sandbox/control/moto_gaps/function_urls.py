"""Function URLs' control plane: one a function and alias, listed, updated and deleted as AWS does.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunctionUrlConfig.html
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from moto.awslambda import urls as lambda_urls
from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.awslambda.policy import Policy
from moto.awslambda.responses import LambdaResponse

from terralive_sandbox.control.moto_gaps.errors import not_emulated

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_ID_CHARACTERS = 32


@dataclass
class FunctionUrl:
    """One function URL; `qualifier` is an alias's name, or "" for the function itself."""

    id: str
    region: str
    function_arn: str
    qualifier: str
    auth_type: str
    cors: dict[str, Any] = field(default_factory=dict)
    created: str = ""
    modified: str = ""

    def to_dict(self, *, on_create: bool = False) -> dict[str, Any]:
        described = {
            "FunctionUrl": f"https://{self.id}.lambda-url.{self.region}.on.aws/",
            "FunctionArn": self.function_arn,
            "AuthType": self.auth_type,
            "CreationTime": self.created,
            "InvokeMode": "BUFFERED",
        }
        if self.cors:
            described["Cors"] = self.cors  # type: ignore[assignment] # a document of its own
        return described if on_create else {**described, "LastModifiedTime": self.modified}


def urls_of(backend: LambdaBackend) -> Iterator[FunctionUrl]:
    """All function URLs of a region."""
    for function in list(backend.list_functions()):
        yield from list(_urls(function).values())


def apply() -> None:
    """Close the gap."""
    _permissions_name_the_auth_type()
    path = r"{0}/(?P<api_version>[^/]+)/functions/(?P<function_name>[\w_:%-]+)/urls/?$"
    lambda_urls.url_paths[path] = LambdaResponse.dispatch

    def create(self: LambdaResponse) -> tuple[int, dict[str, int], str]:
        function, qualifier = _target(self)
        if qualifier in _urls(function):
            message = f"Failed to create function url config for [functionArn = {_arn(function, qualifier)}]. "
            raise _error(
                "ResourceConflictException",
                message + "Error message:  FunctionUrlConfig exists",
                409,
            )
        body = _body(self)
        now = _now()
        identifier = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_CHARACTERS))
        url = _urls(function)[qualifier] = FunctionUrl(
            identifier, function.region, _arn(function, qualifier), qualifier,
            str(body["AuthType"]), body.get("Cors") or {}, now, now,
        )  # fmt: skip
        return 201, {"status": 201}, json.dumps(url.to_dict(on_create=True))

    def get(self: LambdaResponse) -> str:
        return json.dumps(_existing(*_target(self)).to_dict())

    def update(self: LambdaResponse) -> str:
        url = _existing(*_target(self))
        body = _body(self)
        url.auth_type = str(body.get("AuthType") or url.auth_type)
        if "Cors" in body:
            url.cors = body["Cors"] or {}
        url.modified = _now()
        return json.dumps(url.to_dict())

    def delete(self: LambdaResponse) -> tuple[int, dict[str, int], str]:
        function, qualifier = _target(self)
        _existing(function, qualifier)
        del _urls(function)[qualifier]
        return 204, {"status": 204}, ""

    def list_all(self: LambdaResponse) -> str:
        function, _ = _target(self)
        return json.dumps(
            {"FunctionUrlConfigs": [url.to_dict() for url in _urls(function).values()]}
        )

    LambdaResponse.create_function_url_config = create  # type: ignore[method-assign] # the gap
    LambdaResponse.get_function_url_config = get  # type: ignore[method-assign,assignment] # the gap
    LambdaResponse.update_function_url_config = update  # type: ignore[method-assign] # the gap
    LambdaResponse.delete_function_url_config = delete  # type: ignore[method-assign] # the gap
    LambdaResponse.list_function_url_configs = list_all  # type: ignore[attr-defined] # the gap


def _permissions_name_the_auth_type() -> None:
    """What moto leaves beside the statement is a condition.

    Https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html.
    """
    decode = Policy.decode_policy

    def decoded(self: Policy, obj: dict[str, Any]) -> Policy:
        auth_type = obj.pop("FunctionUrlAuthType", None)
        through_url = obj.pop("InvokedViaFunctionUrl", None)
        policy = decode(self, obj)
        conditions = (
            [("StringEquals", "lambda:FunctionUrlAuthType", auth_type)] if auth_type else []
        )
        if through_url is not None:
            conditions.append(("Bool", "lambda:InvokedViaFunctionUrl", str(through_url).lower()))
        for operator, key, value in conditions:
            policy.statements[0].setdefault("Condition", {}).setdefault(operator, {})[key] = value
        return policy

    Policy.decode_policy = decoded  # type: ignore[method-assign] # the gap


def _target(response: LambdaResponse) -> tuple[LambdaFunction, str]:
    """The function, and the alias that the request is about."""
    name = unquote(response.path.split("/")[-2])
    qualifier = (response.querystring.get("Qualifier") or [""])[0]
    function = response.backend.get_function(name)
    if qualifier:
        response.backend.get_function(name, qualifier)  # raises where there is no such alias
    return function, qualifier


def _body(response: LambdaResponse) -> dict[str, Any]:
    body: dict[str, Any] = response.json_body
    if body.get("InvokeMode") == "RESPONSE_STREAM":
        raise not_emulated("response streaming of function URLs")
    return body


def _existing(function: LambdaFunction, qualifier: str) -> FunctionUrl:
    url = _urls(function).get(qualifier)
    if url is None:
        raise _error("ResourceNotFoundException", "The resource you requested does not exist.", 404)
    return url


def _urls(function: LambdaFunction) -> dict[str, FunctionUrl]:
    urls: dict[str, FunctionUrl] = function.__dict__.setdefault("terralive_function_urls", {})
    return urls


def _arn(function: LambdaFunction, qualifier: str) -> str:
    return f"{function.function_arn}:{qualifier}" if qualifier else function.function_arn


def _error(code: str, message: str, status: int) -> LambdaClientError:
    error = LambdaClientError(code, message)
    error.code = status
    return error


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())

"""Function URLs: one for a function and one for each alias, with AWS's answers.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunctionUrlConfig.html
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from moto.awslambda import urls as lambda_urls
from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.awslambda.policy import Policy
from moto.awslambda.responses import LambdaResponse

from terralive_sandbox.control.moto_gaps.errors import api_error
from terralive_sandbox.control.moto_gaps.replacements import Replacements

_JsonAnswer: TypeAlias = tuple[int, dict[str, int], str]

_ID_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_ID_CHARACTERS: Final = 32
# The attribute of moto's function that has its URLs by their qualifiers.
_URLS: Final = "terralive_function_urls"


@dataclass
class FunctionUrl:
    """One function URL."""

    id: str
    region: str
    function_arn: str
    # AWS_IAM or NONE
    auth_type: str
    # BUFFERED or RESPONSE_STREAM
    invoke_mode: str
    # The request's `Cors`
    cors: dict[str, Any]
    # When it was created and changed, as the API writes times.
    created: str
    modified: str

    def to_dict(self) -> dict[str, Any]:
        """Describe it as the API does."""
        described: dict[str, Any] = {
            "FunctionUrl": f"https://{self.id}.lambda-url.{self.region}.on.aws/",
            "FunctionArn": self.function_arn,
            "AuthType": self.auth_type,
            "CreationTime": self.created,
            "InvokeMode": self.invoke_mode,
            "LastModifiedTime": self.modified,
        }
        if self.cors:
            described["Cors"] = self.cors
        return described


def urls_of(backend: LambdaBackend) -> Iterator[FunctionUrl]:
    """Return all function URLs of a region."""
    for function in list(backend.list_functions()):
        yield from list(_urls(function).values())


def declare(replacements: Replacements) -> None:
    """Declare the replacements."""
    moto_decode_policy = Policy.decode_policy

    def decode_policy(self: Policy, obj: dict[str, Any]) -> Policy:
        """Read a request to AddPermission, with its conditions for function URLs.

        Moto writes them beside the statement.
        https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
        """
        auth_type = obj.pop("FunctionUrlAuthType", None)
        through_url = obj.pop("InvokedViaFunctionUrl", None)
        policy = moto_decode_policy(self, obj)
        added: dict[str, dict[str, str]] = {}
        if auth_type:
            added["StringEquals"] = {"lambda:FunctionUrlAuthType": auth_type}
        if through_url is not None:
            added["Bool"] = {"lambda:InvokedViaFunctionUrl": str(through_url).lower()}
        for operator, condition in added.items():
            operators = policy.statements[0].setdefault("Condition", {})
            operators.setdefault(operator, {}).update(condition)
        return policy

    path = r"{0}/(?P<api_version>[^/]+)/functions/(?P<function_name>[\w_:%-]+)/urls/?$"
    replacements.add_path(lambda_urls.url_paths, path, LambdaResponse.dispatch)
    replacements.replace(LambdaResponse, "create_function_url_config", _create)
    replacements.replace(LambdaResponse, "get_function_url_config", _get)
    replacements.replace(LambdaResponse, "update_function_url_config", _update)
    replacements.replace(LambdaResponse, "delete_function_url_config", _delete)
    replacements.add(LambdaResponse, "list_function_url_configs", _list_all)
    replacements.replace(Policy, "decode_policy", decode_policy)


def _create(self: LambdaResponse) -> _JsonAnswer:
    function, qualifier = _target(self)
    urls = _urls(function)
    arn = function.function_arn
    if qualifier:
        arn = f"{arn}:{qualifier}"
    if qualifier in urls:
        message = (
            f"Failed to create function url config for [functionArn = {arn}]. "
            "Error message:  FunctionUrlConfig exists"
        )
        raise api_error("ResourceConflictException", message, 409)
    body = _body(self)
    now = _now()
    url = FunctionUrl(
        id="".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_CHARACTERS)),
        region=function.region,
        function_arn=arn,
        auth_type=str(body["AuthType"]),
        invoke_mode=str(body.get("InvokeMode") or "BUFFERED"),
        cors=body.get("Cors") or {},
        created=now,
        modified=now,
    )
    urls[qualifier] = url
    described = url.to_dict()
    del described["LastModifiedTime"]  # AWS does not have it in this answer
    return 201, {"status": 201}, json.dumps(described)


def _get(self: LambdaResponse) -> str:
    return json.dumps(_existing(*_target(self)).to_dict())


def _update(self: LambdaResponse) -> str:
    url = _existing(*_target(self))
    body = _body(self)
    url.auth_type = str(body.get("AuthType") or url.auth_type)
    url.invoke_mode = str(body.get("InvokeMode") or url.invoke_mode)
    if "Cors" in body:
        url.cors = body["Cors"] or {}
    url.modified = _now()
    return json.dumps(url.to_dict())


def _delete(self: LambdaResponse) -> _JsonAnswer:
    function, qualifier = _target(self)
    _existing(function, qualifier)
    del _urls(function)[qualifier]
    return 204, {"status": 204}, ""


def _list_all(self: LambdaResponse) -> str:
    function, _ = _target(self)
    described = [url.to_dict() for url in _urls(function).values()]
    return json.dumps({"FunctionUrlConfigs": described})


def _target(response: LambdaResponse) -> tuple[LambdaFunction, str]:
    """Return the function and the qualifier of a request. Raises if there is no such alias."""
    name = unquote(response.path.split("/")[-2])
    qualifier = (response.querystring.get("Qualifier") or [""])[0]
    function = response.backend.get_function(name)
    if qualifier:
        response.backend.get_function(name, qualifier)
    return function, qualifier


def _body(response: LambdaResponse) -> dict[str, Any]:
    body: dict[str, Any] = response.json_body
    return body


def _existing(function: LambdaFunction, qualifier: str) -> FunctionUrl:
    url = _urls(function).get(qualifier)
    if url is None:
        raise api_error(
            "ResourceNotFoundException", "The resource you requested does not exist.", 404
        )
    return url


def _urls(function: LambdaFunction) -> dict[str, FunctionUrl]:
    urls: dict[str, FunctionUrl] = vars(function).setdefault(_URLS, {})
    return urls


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())

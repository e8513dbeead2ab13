"""Function URLs: one for a function and one for each alias, with AWS's answers.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunctionUrlConfig.html
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.awslambda.responses import LambdaResponse

from terralive_sandbox.control.moto_gaps.errors import not_emulated

JsonAnswer: TypeAlias = tuple[int, dict[str, int], str]

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
    # An alias's name, or "" for the function itself.
    qualifier: str
    # AWS_IAM or NONE
    auth_type: str
    # The request's `Cors`
    cors: dict[str, Any] = field(default_factory=dict)
    # When it was created and changed, as the API writes times.
    created: str = ""
    modified: str = ""

    def to_dict(self, *, on_create: bool = False) -> dict[str, Any]:
        """Describe it as the API does; the answer to its creation has no LastModifiedTime."""
        described: dict[str, Any] = {
            "FunctionUrl": f"https://{self.id}.lambda-url.{self.region}.on.aws/",
            "FunctionArn": self.function_arn,
            "AuthType": self.auth_type,
            "CreationTime": self.created,
            "InvokeMode": "BUFFERED",
        }
        if self.cors:
            described["Cors"] = self.cors
        if not on_create:
            described["LastModifiedTime"] = self.modified
        return described


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a policy's statement."""

    operator: str
    key: str
    value: str


def urls_of(backend: LambdaBackend) -> Iterator[FunctionUrl]:
    """Return all function URLs of a region."""
    for function in list(backend.list_functions()):
        yield from list(_urls(function).values())


def take_conditions(permission: dict[str, Any]) -> list[Condition]:
    """Remove from a request to AddPermission what is a condition of its statement, and return it.

    Moto writes it beside the statement.
    https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
    """
    auth_type = permission.pop("FunctionUrlAuthType", None)
    through_url = permission.pop("InvokedViaFunctionUrl", None)
    conditions: list[Condition] = []
    if auth_type:
        conditions.append(Condition("StringEquals", "lambda:FunctionUrlAuthType", auth_type))
    if through_url is not None:
        value = str(through_url).lower()
        conditions.append(Condition("Bool", "lambda:InvokedViaFunctionUrl", value))
    return conditions


def create(self: LambdaResponse) -> JsonAnswer:
    """Answer CreateFunctionUrlConfig."""
    function, qualifier = _target(self)
    urls = _urls(function)
    arn = _arn(function, qualifier)
    if qualifier in urls:
        message = (
            f"Failed to create function url config for [functionArn = {arn}]. "
            "Error message:  FunctionUrlConfig exists"
        )
        raise _error("ResourceConflictException", message, 409)
    body = _body(self)
    now = _now()
    url = FunctionUrl(
        "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_CHARACTERS)),
        function.region,
        arn,
        qualifier,
        str(body["AuthType"]),
        body.get("Cors") or {},
        now,
        now,
    )
    urls[qualifier] = url
    return 201, {"status": 201}, json.dumps(url.to_dict(on_create=True))


def get(self: LambdaResponse) -> str:
    """Answer GetFunctionUrlConfig."""
    return json.dumps(_existing(*_target(self)).to_dict())


def update(self: LambdaResponse) -> str:
    """Answer UpdateFunctionUrlConfig."""
    url = _existing(*_target(self))
    body = _body(self)
    url.auth_type = str(body.get("AuthType") or url.auth_type)
    if "Cors" in body:
        url.cors = body["Cors"] or {}
    url.modified = _now()
    return json.dumps(url.to_dict())


def delete(self: LambdaResponse) -> JsonAnswer:
    """Answer DeleteFunctionUrlConfig."""
    function, qualifier = _target(self)
    _existing(function, qualifier)
    del _urls(function)[qualifier]
    return 204, {"status": 204}, ""


def list_all(self: LambdaResponse) -> str:
    """Answer ListFunctionUrlConfigs."""
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
    if body.get("InvokeMode") == "RESPONSE_STREAM":
        raise not_emulated("response streaming of function URLs")
    return body


def _existing(function: LambdaFunction, qualifier: str) -> FunctionUrl:
    url = _urls(function).get(qualifier)
    if url is None:
        raise _error("ResourceNotFoundException", "The resource you requested does not exist.", 404)
    return url


def _urls(function: LambdaFunction) -> dict[str, FunctionUrl]:
    urls: dict[str, FunctionUrl] = vars(function).setdefault(_URLS, {})
    return urls


def _arn(function: LambdaFunction, qualifier: str) -> str:
    if qualifier:
        return f"{function.function_arn}:{qualifier}"
    return function.function_arn


def _error(code: str, message: str, status: int) -> LambdaClientError:
    error = LambdaClientError(code, message)
    error.code = status
    return error


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())

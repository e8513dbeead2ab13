"""Request validators of REST APIs: required parameters, and bodies against models. No I/O.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-request-validation.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

from jsonschema import Draft4Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT4

from terralive_sandbox.apigateway.http_messages import GatewayResponseError, HttpRequest

_JSON: Final = "application/json"
_ERROR_TYPE: Final = "BadRequestException"
# The address of another model in a `$ref`, with the API's id and the model's name.
_MODEL_URL: Final = "https://apigateway.amazonaws.com/restapis/{}/models/{}"
# Models that every API has, as API Gateway makes them.
BUILT_IN_MODELS: Final[Mapping[str, str]] = {
    "Empty": '{"title": "Empty Schema", "type": "object"}',
    "Error": '{"type": "object", "properties": {"message": {"type": "string"}}}',
}


@dataclass(frozen=True, slots=True)
class RequestRules:
    """What a method and its validator ask of requests.

    Attributes:
        api_id: the API.
        required: the required parameters (`method.request.querystring.q`).
        checks_body: whether the validator checks bodies.
        models: the names of the method's models by content type.
        schemas: the schemas of the API's models by name, as JSON text.
    """

    api_id: str
    required: tuple[str, ...] = ()
    checks_body: bool = False
    models: Mapping[str, str] = field(default_factory=dict)
    schemas: Mapping[str, str] = field(default_factory=dict)


def check(request: HttpRequest, path_values: Mapping[str, str], rules: RequestRules) -> None:
    """Check a request before its integration gets it.

    Args:
        request: the request.
        path_values: the values of the path parameters.
        rules: what the method asks for.

    Raises:
        GatewayResponseError: the request is not valid (400), or a model's schema is not (500).
    """
    missing = list(_missing(request, path_values, rules.required))
    if missing:
        message = f"Missing required request parameters: [{', '.join(missing)}]"
        raise GatewayResponseError(400, message, error_type=_ERROR_TYPE)
    if rules.checks_body:
        _check_body(request, rules)


def _missing(
    request: HttpRequest, path_values: Mapping[str, str], required: Iterable[str]
) -> Iterable[str]:
    """Yield the names of required parameters that are absent or blank."""
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    for parameter in required:
        # `method.request.` and `header`, `querystring` or `path`, and the name.
        _, _, place, name = parameter.split(".", 3)
        if place == "header":
            value = request.header(name.lower())
        elif place == "querystring":
            value = query.get(name, "")
        else:
            value = unquote(path_values.get(name, ""))
        if not value.strip():
            yield name


def _check_body(request: HttpRequest, rules: RequestRules) -> None:
    """Check the body against the model of its content type. A type without a model is not checked.

    Raises:
        GatewayResponseError: the body does not match the model.
    """
    content_type = request.header("content-type").partition(";")[0].strip().lower() or _JSON
    model = rules.models.get(content_type, rules.models.get("$default"))
    if model is None:
        return
    invalid = GatewayResponseError(400, "Invalid request body", error_type=_ERROR_TYPE)
    try:
        body: object = json.loads(request.body)
    except ValueError as error:
        raise invalid from error
    try:
        is_valid = _validator(model, rules).is_valid(body)
    except (SchemaError, Unresolvable, ValueError, KeyError) as error:
        why = f"the schema of the model {model} cannot be used: {error}"
        raise GatewayResponseError(500, "Internal server error", why) from error
    if not is_valid:
        raise invalid


def _validator(model: str, rules: RequestRules) -> Draft4Validator:
    """Return the validator of a model, whose schema may name other models of the API."""
    schemas = {name: json.loads(text) for name, text in rules.schemas.items()}
    resources = [
        (_MODEL_URL.format(rules.api_id, name), DRAFT4.create_resource(schema))
        for name, schema in schemas.items()
    ]
    Draft4Validator.check_schema(schemas[model])
    return Draft4Validator(schemas[model], registry=Registry().with_resources(resources))

"""The operations of an OpenAPI document, with the extensions of API Gateway that they have.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from terralive_sandbox.apigateway.openapi.document import EXTENSION, Document, DocumentError
from terralive_stub.shared.json_documents import Json, as_object, items, section, text

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
_ANY: Final = f"{EXTENSION}any-method"
_AUTHORIZER: Final = f"{EXTENSION}authorizer"
# Kinds of authorizers in documents -> the authorization types of methods and routes.
_AUTHORIZATION_TYPES: Final = {
    "token": "CUSTOM",
    "request": "CUSTOM",
    "jwt": "JWT",
    "cognito_user_pools": "COGNITO_USER_POOLS",
}
# The sources of parameters of REST APIs, by the word of OpenAPI.
_PLACES: Final = {"path": "path", "query": "querystring", "header": "header"}


@dataclass(frozen=True, slots=True)
class Authorization:
    """The access control of one operation.

    Attributes:
        type: the authorization type of the method or route.
        scheme: the name of the security scheme of its authorizer; empty without one.
        scopes: the scopes that a token needs one of.
        needs_key: whether clients need an API key.
    """

    type: str = "NONE"
    scheme: str = ""
    scopes: tuple[str, ...] = ()
    needs_key: bool = False


@dataclass(frozen=True, slots=True)
class Authorizer:
    """An authorizer that a security scheme declares.

    Attributes:
        name: the name of the security scheme.
        scheme: the security scheme.
        settings: the extension `x-amazon-apigateway-authorizer`.
    """

    name: str
    scheme: Mapping[str, Json]
    settings: Mapping[str, Json]

    @property
    def type(self) -> str:
        """The kind of authorizer, in lower case."""
        return text(self.settings, "type").lower()

    @property
    def authorization_type(self) -> str:
        """The authorization type of the operations that it protects."""
        return _AUTHORIZATION_TYPES.get(self.type, self.type.upper())

    @property
    def identity_sources(self) -> tuple[str, ...]:
        """The identity sources; a document writes them in one text, or in a list."""
        given = self.settings.get("identitySource")
        if isinstance(given, list):
            return tuple(str(source) for source in given)
        return tuple(part.strip() for part in str(given or "").split(",") if part.strip())


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: a method of a REST API, or a route of an HTTP API.

    Attributes:
        path: the path with its parameters.
        method: the method in capitals, or `ANY`.
        is_default: whether it is the route `$default`.
        authorization: its access control.
        integration: its integration; None if it has none.
        parameters: the parameters of its requests (`method.request.path.id`), and whether they are
            required.
        bodies: the schema of a body by content type.
        responses: the responses by status, which may also be `default`.
        validator: the name of its request validator, or empty.
        id: its `operationId`, or empty.
    """

    path: str
    method: str
    is_default: bool
    authorization: Authorization
    integration: Mapping[str, Json] | None
    parameters: Mapping[str, bool]
    bodies: Mapping[str, Json]
    responses: Mapping[str, Json]
    validator: str
    id: str

    @property
    def route_key(self) -> str:
        """The route key of an HTTP API."""
        if self.is_default:
            return "$default"
        return f"{self.method} {self.path}"


def authorizers_of(document: Document) -> Iterator[Authorizer]:
    """Yield the authorizers that the security schemes declare."""
    for name, given in document.security_schemes.items():
        scheme = document.resolved(given)
        settings = document.resolved(scheme.get(_AUTHORIZER))
        if settings:
            yield Authorizer(name, scheme, settings)


def operations_of(document: Document, *, of_http_api: bool) -> Iterator[Operation]:
    """Yield the operations of a document.

    Args:
        document: the document.
        of_http_api: whether the document describes an HTTP API. REST APIs ignore the security
            requirements at the top of a document, say the engineers of API Gateway:
            https://github.com/amazon-archives/aws-apigateway-importer/issues/204

    Raises:
        DocumentError: a reference does not lead anywhere.
    """
    general = document.root.get("security") if of_http_api else None
    for path, given in section(document.root, "paths").items():
        item = document.resolved(given)
        for name in (*_METHODS, _ANY):
            if name not in item:
                continue
            operation = {"security": general, **document.resolved(item[name])}
            method = "ANY" if name == _ANY else name.upper()
            yield _operation(document, path, method, item, operation)


def _operation(
    document: Document,
    path: str,
    method: str,
    item: Mapping[str, Json],
    operation: Mapping[str, Json],
) -> Operation:
    """Return one operation; `item` is the path item that it belongs to."""
    given = [*items(item, "parameters"), *items(operation, "parameters")]
    parameters = [document.resolved(parameter) for parameter in given]
    named: dict[str, bool] = {}
    for parameter in parameters:
        place = _PLACES.get(text(parameter, "in"))
        if place is not None:
            required = parameter.get("required") is True
            named[f"method.request.{place}.{text(parameter, 'name')}"] = required
    integration: Mapping[str, Json] | None = None
    if f"{EXTENSION}integration" in operation:
        integration = document.resolved(operation[f"{EXTENSION}integration"])
    validator = operation.get(f"{EXTENSION}request-validator")
    if validator is None:
        validator = document.extension("request-validator")
    return Operation(
        path=path,
        method=method,
        is_default=path == "/$default" or operation.get("isDefaultRoute") is True,
        authorization=_authorization(document, operation),
        integration=integration,
        parameters=named,
        bodies=_bodies(document, operation, parameters),
        responses=section(operation, "responses"),
        validator=str(validator or ""),
        id=text(operation, "operationId"),
    )


def _authorization(document: Document, operation: Mapping[str, Json]) -> Authorization:
    """Return the access control of an operation.

    Raises:
        DocumentError: it names a security scheme that the document does not have.
    """
    declared = text(section(operation, f"{EXTENSION}auth"), "type")
    found = Authorization(declared or "NONE")
    needs_key = False
    for name, scopes, scheme in _required_schemes(document, operation):
        settings = document.resolved(scheme.get(_AUTHORIZER))
        if settings and not found.scheme and not declared:
            kind = Authorizer(name, scheme, settings).authorization_type
            found = Authorization(kind, name, scopes)
        elif text(scheme, f"{EXTENSION}authtype").lower() == "awssigv4":
            found = Authorization("AWS_IAM")
        elif text(scheme, "type") == "apiKey" and text(scheme, "name").lower() == "x-api-key":
            needs_key = True
    return Authorization(found.type, found.scheme, found.scopes, needs_key)


def _required_schemes(
    document: Document, operation: Mapping[str, Json]
) -> Iterator[tuple[str, tuple[str, ...], Mapping[str, Json]]]:
    """Yield the security schemes that an operation names: the name, the scopes and the scheme.

    Raises:
        DocumentError: the document does not have one of them.
    """
    for requirement in items(operation, "security"):
        for name, scopes in as_object(requirement).items():
            if name not in document.security_schemes:
                raise DocumentError(f"Unable to find the security scheme {name}")
            asked = scopes if isinstance(scopes, list) else []
            scheme = document.resolved(document.security_schemes[name])
            yield name, tuple(str(scope) for scope in asked), scheme


def _bodies(
    document: Document, operation: Mapping[str, Json], parameters: list[dict[str, Json]]
) -> dict[str, Json]:
    """Return the schema of an operation's body by content type."""
    if document.is_swagger:
        types = items(operation, "consumes") or items(document.root, "consumes")
        bodies = [item.get("schema") for item in parameters if text(item, "in") == "body"]
        return {str(kind): body for kind in types or ["application/json"] for body in bodies}
    content = section(document.resolved(operation.get("requestBody")), "content")
    schemas = {kind: as_object(media).get("schema") for kind, media in content.items()}
    return {kind: schema for kind, schema in schemas.items() if schema is not None}

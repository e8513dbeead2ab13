"""Requests and responses of a REST API's integrations that are not proxies. Pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/getting-started-aws-proxy.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/integration-passthrough-behaviors.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/request-response-data-mappings.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from terralive_sandbox.access import sigv4
from terralive_sandbox.access.identity import Keys
from terralive_sandbox.apigateway.http_messages import GatewayResponseError, HttpRequest
from terralive_sandbox.apigateway.rest.mapping_templates import Scope
from terralive_stub.shared.json_documents import as_object, parse_object

JSON: Final = "application/json"
_URI: Final = re.compile(
    r"arn:aws:apigateway:(?P<region>[a-z0-9-]+):(?:[\w-]+\.)?(?P<service>[\w-]+):"
    r"(?P<kind>path|action)/(?P<rest>.*)"
)
_PLACES: Final = ("header", "querystring", "path")


@dataclass(frozen=True, slots=True)
class ServiceUri:
    """The URI of an integration with a service.

    Attributes:
        region: the service's region.
        service: the service (`sqs`).
        path: the path of the request; `/` for an action.
        action: the action, for the services that take one; else "".
    """

    region: str
    service: str
    path: str
    action: str

    @classmethod
    def parse(cls, uri: str) -> ServiceUri | None:
        """Return the parts of a URI; None if it is not the URI of a service."""
        found = _URI.fullmatch(uri)
        if found is None:
            return None
        if found["kind"] == "action":
            return cls(found["region"], found["service"], "/", found["rest"])
        return cls(found["region"], found["service"], f"/{found['rest']}", "")


@dataclass(frozen=True, slots=True)
class MappedResponse:
    """A response that an integration declares.

    Attributes:
        status: the status.
        pattern: a regular expression for errors or statuses; "" for the default response.
        headers: the sources of headers (`method.response.header.X`).
        templates: the templates of the body by content type.
    """

    status: int
    pattern: str
    headers: Mapping[str, str]
    templates: Mapping[str, str]


def scope_of(
    request: HttpRequest,
    path_parameters: Mapping[str, str],
    event: Mapping[str, object],
    stage_variables: Mapping[str, str],
) -> Scope:
    """Return what a template or the source of a parameter can name of a request.

    Args:
        request: the client's request.
        path_parameters: the values of the path parameters, percent-encoded.
        event: the event that a proxy integration would send; `$context` is a part of it.
        stage_variables: the stage variables.
    """
    parameters = {
        "path": {name: unquote(value) for name, value in path_parameters.items()},
        "querystring": dict(parse_qsl(request.query, keep_blank_values=True)),
        "header": dict(request.headers),
    }
    body = request.body.decode("utf-8", "replace")
    return Scope(body, parameters, as_object(event["requestContext"]), stage_variables)


def template_for(templates: Mapping[str, str], content_type: str, passthrough: str) -> str | None:
    """Return the template for a request's content type; None if its body is passed on.

    Raises:
        GatewayResponseError: 415, as the integration takes no such content type.
    """
    media_type = content_type.partition(";")[0].strip().lower() or JSON
    for declared, template in templates.items():
        if declared.lower() == media_type:
            return template
    if passthrough == "NEVER" or (passthrough == "WHEN_NO_TEMPLATES" and templates):
        raise GatewayResponseError(
            415, "Unsupported Media Type", error_type="UnsupportedMediaTypeException"
        )
    return None


def sent_parameters(mappings: Mapping[str, str], scope: Scope) -> dict[str, dict[str, str]]:
    """Return the parameters of the integration's request, by place.

    Args:
        mappings: the sources by name (`integration.request.header.X`).
        scope: what the sources name.
    """
    sent: dict[str, dict[str, str]] = {place: {} for place in _PLACES}
    for name, source in mappings.items():
        place, _, parameter = name.removeprefix("integration.request.").partition(".")
        value = value_of(source, scope)
        if place in sent and value is not None:
            sent[place][parameter] = value
    return sent


def value_of(source: str, scope: Scope) -> str | None:
    """Return the value of a source; None if it has none.

    A source is a literal in quotes, a part of the request or of the answer, or a variable.
    """
    if source.startswith("'") and source.endswith("'"):
        return source[1:-1]
    kind, _, name = source.partition(".")
    if kind == "stageVariables":
        return scope.stage_variables.get(name)
    if kind == "context":
        return _text_at(scope.context, name)
    # method.request.header.X, integration.response.header.X, method.request.body.a.b
    parts = source.split(".", 3)
    return _value_at_place(".".join(parts[2:3]), ".".join(parts[3:]), scope)


def _value_at_place(place: str, name: str, scope: Scope) -> str | None:
    """Return a parameter of the request or of the answer, or a part of its body."""
    if place == "body" and not name:
        return scope.body
    if place == "body":
        return _text_at(parse_object(scope.body), name)
    for given, value in scope.parameters.get(place, {}).items():
        if given == name or (place == "header" and given.lower() == name.lower()):
            return value
    return None


def chosen(responses: Sequence[MappedResponse], outcome: str) -> MappedResponse | None:
    """Return the response for an outcome; None if there is no default one.

    Args:
        responses: the integration's responses.
        outcome: the message of a function's error, or the status of a service's answer as text; ""
            for a function that has not failed.
    """
    default: MappedResponse | None = None
    for response in responses:
        if not response.pattern:
            default = response
        elif outcome and re.fullmatch(response.pattern, outcome, re.DOTALL):
            return response
    return default


def signed(
    uri: ServiceUri,
    method: str,
    parameters: Mapping[str, Mapping[str, str]],
    body: str,
    keys: Keys,
) -> sigv4.Request:
    """Return the signed request of an integration to its service.

    Args:
        uri: the integration's URI.
        method: its HTTP method.
        parameters: the parameters of the request, by place.
        body: its body.
        keys: the credentials of the integration's role.
    """
    path = uri.path
    for name, value in parameters["path"].items():
        path = path.replace(f"{{{name}}}", value)
    query = dict(parameters["querystring"])
    if uri.action:
        query = {"Action": uri.action, **query}
    headers = {"host": "host", "content-type": JSON}
    headers.update({name.lower(): value for name, value in parameters["header"].items()})
    given = AWSRequest(
        method, f"http://host{path}", headers=headers, params=query, data=body.encode()
    )
    credentials = Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token)
    SigV4Auth(credentials, uri.service, uri.region).add_auth(given)
    prepared = given.prepare()
    sent = tuple((name.lower(), str(value)) for name, value in prepared.headers.items())
    path, _, encoded = prepared.url.removeprefix("http://host").partition("?")
    return sigv4.Request(method, path, encoded, sent, body.encode())


def _text_at(value: Mapping[str, object], path: str) -> str | None:
    """Return the value at a path of names as text; None if there is none."""
    current: object = value
    for name in path.split("."):
        if not isinstance(current, dict):
            return None
        current = current.get(name)
    if current is None:
        return None
    return str(current)

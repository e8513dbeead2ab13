"""First-class integrations of HTTP APIs: calls of AWS services with parts of a request.

Everything here is pure: it takes values and returns a signed request to the sandbox itself.
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-aws-services.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-aws-services-reference.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from terralive_sandbox.access import sigv4
from terralive_sandbox.access.identity import Keys
from terralive_sandbox.apigateway.http_messages import HttpRequest
from terralive_stub.shared.json_documents import Json, as_object, parse_object

_SOURCE: Final = re.compile(
    r"request\.(?P<place>header|querystring|path|body)(?:\.(?P<name>.+))?"
    r"|(?P<other>context|stageVariables)\.(?P<variable>.+)"
)
_EMBEDDED: Final = re.compile(r"\$\{([^}]+)\}")
_PATH_STEP: Final = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_SQS_VERSION: Final = "2012-11-05"


@dataclass(frozen=True, slots=True)
class Sources:
    """The parts of a request that parameters of an integration can name.

    Attributes:
        request: the client's request.
        path_parameters: the decoded values of the path parameters.
        context: the variables of `$context`, nested.
        stage_variables: the stage variables.
    """

    request: HttpRequest
    path_parameters: Mapping[str, str]
    context: Mapping[str, object]
    stage_variables: Mapping[str, str]


def parameters(given: Mapping[str, str], sources: Sources) -> dict[str, str]:
    """Return the parameters of a call. A parameter without a value is left out."""
    values: dict[str, str] = {}
    for name, expression in given.items():
        value = _value(expression, sources)
        if value is not None:
            values[name] = value
    return values


def _value(expression: str, sources: Sources) -> str | None:
    """Return the value of a mapping: of one source, or a text with sources in `${…}`."""
    if expression.startswith("$") and not expression.startswith("${"):
        return _value_of_source(expression[1:], sources)
    return _EMBEDDED.sub(lambda embedded: _value_of_source(embedded[1], sources) or "", expression)


def _value_of_source(source: str, sources: Sources) -> str | None:
    found = _SOURCE.fullmatch(source)
    if found is None:
        return None
    if found["other"] == "stageVariables":
        return sources.stage_variables.get(found["variable"])
    if found["other"] == "context":
        return _text_at(dict(sources.context), found["variable"])
    return _value_of_request(found["place"], found["name"] or "", sources)


def _value_of_request(place: str, name: str, sources: Sources) -> str | None:
    """Return a header, parameter or part of the body; several values are joined by commas."""
    request = sources.request
    if place == "path":
        return sources.path_parameters.get(name)
    if place == "body":
        body = request.body.decode("utf-8", "replace")
        if not name:
            return body
        return _text_at(parse_object(body), name)
    values = parse_qs(request.query, keep_blank_values=True).get(name, [])
    if place == "header":
        values = [value for key, value in request.headers if key.lower() == name.lower()]
    return ",".join(values) or None


def _text_at(value: object, path: str) -> str | None:
    """Return the value at a JSON path as text, or None."""
    for index, key in _PATH_STEP.findall(path):
        if key:
            value = as_object(value).get(key)
        elif isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        else:
            return None
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def signed_call(subtype: str, values: Mapping[str, str], keys: Keys, region: str) -> sigv4.Request:
    """Return the signed request of an integration's subtype to its service.

    Args:
        subtype: `SQS-SendMessage`, `EventBridge-PutEvents` or `Kinesis-PutRecord`.
        values: the parameters of the call.
        keys: the credentials of the integration's role.
        region: the region of the API; a parameter `Region` comes first.
    """
    given = dict(values)
    region = given.pop("Region", region)
    headers: dict[str, str]
    if subtype == "SQS-SendMessage":
        service = "sqs"
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        body = urlencode(_message_fields(given))
    elif subtype == "EventBridge-PutEvents":
        service = "events"
        headers = _json_headers("AWSEvents.PutEvents")
        body = json.dumps({"Entries": [_event_entry(given)]})
    else:
        service = "kinesis"
        headers = _json_headers("Kinesis_20131202.PutRecord")
        body = json.dumps(given)
    signed = AWSRequest("POST", "http://host/", headers={"host": "host", **headers}, data=body)
    credentials = Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token)
    SigV4Auth(credentials, service, region).add_auth(signed)
    sent = tuple((name.lower(), str(value)) for name, value in signed.headers.items())
    return sigv4.Request("POST", "/", "", sent, body.encode())


def _json_headers(target: str) -> dict[str, str]:
    return {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}


def _message_fields(values: dict[str, str]) -> dict[str, str]:
    """Return the form of SQS's SendMessage."""
    attributes = parse_object(values.pop("MessageAttributes", "{}"))
    fields = {"Action": "SendMessage", "Version": _SQS_VERSION, **values}
    for number, (name, attribute) in enumerate(attributes.items(), 1):
        fields[f"MessageAttribute.{number}.Name"] = name
        for key, value in as_object(attribute).items():
            fields[f"MessageAttribute.{number}.Value.{key}"] = str(value)
    return fields


def _event_entry(values: Mapping[str, str]) -> dict[str, Json]:
    """Return the entry of EventBridge's PutEvents."""
    entry: dict[str, Json] = dict(values)
    if "Resources" in values:
        # A list of ARNs as JSON text.
        try:
            entry["Resources"] = json.loads(values["Resources"])
        except ValueError:
            entry["Resources"] = [values["Resources"]]
    return entry

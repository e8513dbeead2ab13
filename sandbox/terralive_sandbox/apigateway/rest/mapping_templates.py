"""Mapping templates of REST APIs: texts in the Velocity Template Language (VTL). Pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/models-mappings.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus, unquote_plus

from terralive_stub.shared.json_documents import Json

# What `escapeJavaScript` escapes beside what JSON does.
_APOSTROPHE: Final = ("'", "\\'")


class TemplateError(Exception):
    """A template cannot be filled. API Gateway answers 500."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The values that a template can name.

    Attributes:
        body: the body of the request, or of the integration's answer.
        parameters: the values of the request by place: `path`, `querystring` and `header`.
        context: the variables of `$context`.
        stage_variables: the stage variables.
    """

    body: str
    parameters: Mapping[str, Mapping[str, str]]
    context: Mapping[str, Json]
    stage_variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Filled:
    """A template's text, and what it overrides.

    Attributes:
        text: the text.
        status: the status that the template sets by `$context.responseOverride.status`; 0 for none.
        headers: the headers that it sets by `$context.responseOverride.header`.
    """

    text: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


class _Input:
    """The variable `$input`. Its methods have the names that AWS's page gives them."""

    def __init__(self, scope: Scope) -> None:
        self.body = scope.body
        self._parameters = scope.parameters

    def path(self, path: str) -> Json:
        """Return the value at a JSON path; None if there is none."""
        return _value_at(_parsed(self.body), path)

    def json(self, path: str) -> str:
        """Return the value at a JSON path as JSON text."""
        return json.dumps(self.path(path), ensure_ascii=False, separators=(",", ":"))

    def params(self, name: str = "") -> object:
        """Return a parameter of the request by its name, or all of them by place."""
        if not name:
            return {place: dict(values) for place, values in self._parameters.items()}
        for place in ("path", "querystring", "header"):
            values = self._parameters.get(place, {})
            if name in values:
                return values[name]
        return ""


class _Util:
    """The variable `$util`. Its methods have the names that AWS's page gives them."""

    def escapeJavaScript(self, text: object) -> str:  # noqa: N802  # AWS's name
        return json.dumps(str(text), ensure_ascii=False)[1:-1].replace(*_APOSTROPHE)

    def parseJson(self, text: str) -> Json:  # noqa: N802  # AWS's name
        return _parsed(text)

    def urlEncode(self, text: object) -> str:  # noqa: N802  # AWS's name
        return quote_plus(str(text))

    def urlDecode(self, text: object) -> str:  # noqa: N802  # AWS's name
        return unquote_plus(str(text))

    def base64Encode(self, text: object) -> str:  # noqa: N802  # AWS's name
        return base64.b64encode(str(text).encode()).decode()

    def base64Decode(self, text: object) -> str:  # noqa: N802  # AWS's name
        return base64.b64decode(str(text)).decode("utf-8", "replace")


def filled(template: str, scope: Scope) -> Filled:
    """Return a template filled with the values of one request or answer.

    Raises:
        TemplateError: it is not VTL, or what it does fails.
    """
    # Imported with the first template: it takes a tenth of a second.
    import airspeed  # noqa: PLC0415

    context: dict[str, Any] = copy.deepcopy(dict(scope.context))
    context["responseOverride"] = {"header": {}}
    context["requestOverride"] = {"header": {}, "path": {}, "querystring": {}}
    names = {
        "input": _Input(scope),
        "util": _Util(),
        "context": context,
        "stageVariables": dict(scope.stage_variables),
    }
    try:
        text = airspeed.Template(template).merge(names)
    except Exception as error:
        # airspeed raises errors of many kinds, and those of the values that a template uses.
        raise TemplateError(f"{type(error).__name__}: {error}") from error
    override = context["responseOverride"]
    headers = {str(name): str(value) for name, value in override["header"].items()}
    return Filled(text, int(override.get("status") or 0), headers)


def _parsed(text: str) -> Json:
    """Return JSON text as a value; text that is not JSON is a string."""
    try:
        value: Json = json.loads(text or "{}")
    except ValueError:
        return text
    return value


def _value_at(value: Json, path: str) -> Json:
    """Return the value at a JSON path; several are a list. Raises an error for a wrong path."""
    # As above
    from jsonpath_ng.ext.parser import parse  # noqa: PLC0415

    found: list[Json] = [match.value for match in parse(path).find(value)]
    if not found:
        return None
    if len(found) == 1 and "*" not in path and "?" not in path:
        return found[0]
    return found

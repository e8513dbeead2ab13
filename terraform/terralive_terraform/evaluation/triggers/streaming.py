"""Functions of a plan whose callers take streamed responses. Pure.

Function URLs: https://docs.aws.amazon.com/lambda/latest/dg/config-rs-invoke-furls.html. REST APIs:
https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from terralive_stub.shared.json_documents import Json, items, section, text
from terralive_terraform.evaluation.document import Evaluated, Evaluation
from terralive_terraform.evaluation.triggers.named import NamedFunctions
from terralive_terraform.evaluation.triggers.services import INTEGRATIONS, REST, URL

# An attribute of `aws_lambda_function`, and the end of its value.
_ATTRIBUTE: Final = "response_streaming_invoke_arn"
_PATH: Final = "/response-streaming-invocations"
# A REST API whose integrations stand in an OpenAPI document, and the functions in that document.
_REST_API: Final = "aws_api_gateway_rest_api"
_IN_DOCUMENT: Final = re.compile(rf":function:(?P<name>[\w-]+)[^/\s\"']*{_PATH}")


def streamed(evaluation: Evaluation, named: NamedFunctions) -> Iterator[str]:
    """Yield the addresses of the functions, with instance keys."""
    for url in evaluation.instances(URL):
        if text(url.values, "invoke_mode") == "RESPONSE_STREAM":
            yield from named.of(url, "function_name")
    for integration in evaluation.instances(REST):
        if _streams(evaluation, integration):
            yield from named.of(integration, INTEGRATIONS[REST])
    for api in evaluation.instances(_REST_API):
        yield from _of_document(evaluation, named, api)


def _of_document(evaluation: Evaluation, named: NamedFunctions, api: Evaluated) -> Iterator[str]:
    """Yield the functions whose responses an OpenAPI document lets stream.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html
    """
    body = text(api.values, "body")
    for found in _IN_DOCUMENT.finditer(body):
        yield from named.with_name(found["name"])
    if body:
        return
    # Before an apply, the document is not known.
    expression = section(section(evaluation.block(api.address), "expressions"), "body")
    references: list[Json] = [
        reference
        for reference in items(expression, "references")
        if str(reference).endswith(f".{_ATTRIBUTE}")
    ]
    written: list[Json] = [{"references": references}]
    yield from named.in_parts(api, (), written, is_known=False)


def _streams(evaluation: Evaluation, integration: Evaluated) -> bool:
    """Tell whether a REST API takes streamed responses of the function that it calls."""
    if text(integration.values, "response_transfer_mode") == "STREAM":
        return True
    uri = INTEGRATIONS[REST]
    if text(integration.values, uri):
        return text(integration.values, uri).endswith(_PATH)
    # Before an apply, the value is not known.
    expressions = section(evaluation.block(integration.address), "expressions")
    return _ATTRIBUTE in json.dumps(expressions.get(uri))

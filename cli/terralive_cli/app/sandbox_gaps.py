"""Warnings about resources of a configuration that the sandbox does not emulate. Pure.

A plan shows them before anything is applied. sandbox/README.md has the complete list ("What it does
not do").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from terralive_cli.output.formats.words import listed
from terralive_relay.events import Warned
from terralive_stub.shared.json_documents import Json, text
from terralive_terraform.addresses import without_keys
from terralive_terraform.evaluation.document import Evaluation
from terralive_terraform.evaluation.planned import PlannedFunction

_NAMED: Final = 5
# The beginnings of the names of runtimes whose deployed code runs in the sandbox.
_RUNTIMES: Final = ("python", "nodejs", "provided")


@dataclass(frozen=True, slots=True)
class _Gap:
    """Something that the sandbox does not do.

    Attributes:
        type: the type of the resources.
        missing: what does not happen, as the end of a sentence about them.
        applies: tells by a resource's values whether the gap concerns it.
    """

    type: str
    missing: str
    applies: Callable[[Mapping[str, Json]], bool]


def _always(_: Mapping[str, Json]) -> bool:
    return True


def _has(attribute: str) -> Callable[[Mapping[str, Json]], bool]:
    """Return whether an attribute or block is set."""
    return lambda values: bool(values.get(attribute))


def _is(attribute: str, *wanted: str) -> Callable[[Mapping[str, Json]], bool]:
    """Return whether an attribute has one of these values."""
    return lambda values: text(values, attribute) in wanted


def _is_other(attribute: str, *known: str) -> Callable[[Mapping[str, Json]], bool]:
    """Return whether an attribute is set to something else than these values."""
    return lambda values: text(values, attribute) not in {"", *known}


_NO_REQUESTS: Final = "answered with 501 NotEmulatedBySandbox"
_REFUSED: Final = "refused when they are created (NotEmulatedBySandbox)"
_INVOKES_NOTHING: Final = "kept, and invoke no function"

_GAPS: Final = (
    _Gap("aws_sfn_state_machine", "kept, and no execution of them runs", _always),
    _Gap(
        "aws_apigatewayv2_authorizer",
        f"kept; requests to their routes are {_NO_REQUESTS}",
        _is("authorizer_type", "JWT"),
    ),
    _Gap(
        "aws_api_gateway_authorizer",
        f"kept; requests to their methods are {_NO_REQUESTS}",
        _is("type", "COGNITO_USER_POOLS"),
    ),
    _Gap("aws_api_gateway_method", f"kept; requests are {_NO_REQUESTS}", _has("api_key_required")),
    _Gap(
        "aws_api_gateway_integration",
        f"kept; requests are {_NO_REQUESTS}",
        _is_other("type", "AWS_PROXY", "MOCK"),
    ),
    _Gap(
        "aws_apigatewayv2_integration",
        f"kept; requests are {_NO_REQUESTS}",
        _is_other("integration_type", "AWS_PROXY"),
    ),
    _Gap("aws_api_gateway_rest_api", "refused because of their OpenAPI document", _has("body")),
    _Gap("aws_apigatewayv2_api", "refused because of their OpenAPI document", _has("body")),
    _Gap("aws_apigatewayv2_api", "refused because of their target", _has("target")),
    _Gap("aws_api_gateway_gateway_response", _REFUSED, _always),
    _Gap("aws_lambda_event_source_mapping", f"{_REFUSED}: Kafka", _has("topics")),
    _Gap("aws_lambda_event_source_mapping", f"{_REFUSED}: Amazon MQ", _has("queues")),
    _Gap(
        "aws_lambda_event_source_mapping",
        f"{_REFUSED}: DocumentDB",
        _has("document_db_event_source_config"),
    ),
    _Gap("aws_lambda_alias", f"{_REFUSED}: they are weighted", _has("routing_config")),
    _Gap("aws_cloudwatch_event_archive", _REFUSED, _always),
    _Gap("aws_cloudwatch_event_api_destination", _REFUSED, _always),
    _Gap("aws_cognito_user_pool", _INVOKES_NOTHING, _has("lambda_config")),
    _Gap("aws_iot_topic_rule", _INVOKES_NOTHING, _has("lambda")),
    _Gap("aws_lb_target_group", _INVOKES_NOTHING, _is("target_type", "lambda")),
    _Gap("aws_s3_bucket_notification", "sent to no event bus", _has("eventbridge")),
)


def sandbox_warnings(
    evaluation: Evaluation, functions: Sequence[PlannedFunction], live: frozenset[str]
) -> Iterator[Warned]:
    """Yield a warning for each thing that the sandbox does not do, with the resources.

    Args:
        evaluation: the plan of the app without stubs.
        functions: its functions.
        live: the addresses of the functions that become live, without instance keys.
    """
    for gap in _GAPS:
        found = evaluation.instances(gap.type)
        addresses = [item.address for item in found if gap.applies(item.values)]
        if addresses:
            yield _warning(addresses, gap.missing)
    not_run = [
        item.address
        for item in functions
        if without_keys(item.address) not in live and not _runs(item)
    ]
    if not_run:
        yield _warning(not_run, "not run: their runtime is not in the sandbox")


def _runs(function: PlannedFunction) -> bool:
    """Tell whether the sandbox runs the deployed code of a function, as far as that is known."""
    if function.is_image:
        return False
    return function.runtime is None or function.runtime.startswith(_RUNTIMES)


def _warning(addresses: Sequence[str], missing: str) -> Warned:
    return Warned(
        reference="sandbox-lacks",
        message=f"In the sandbox these are {missing}: {listed(addresses, _NAMED)}. docs/SANDBOX.md "
        "says what the sandbox does.",
    )

"""Warnings about resources of a configuration that the sandbox does not emulate. Pure.

A plan shows them before anything is applied. sandbox/README.md has the complete list ("What it does
not do").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from terralive_cli.output.formats.words import listed
from terralive_relay.events import Warned
from terralive_sandbox.apigateway.authorizers import issuers
from terralive_sandbox.apigateway.openapi.gaps import (
    EMULATED_SUBTYPES,
    missing_parts,
)
from terralive_stub.shared.json_documents import Json, as_object, items, text
from terralive_terraform.addresses import without_keys
from terralive_terraform.evaluation.document import Evaluation
from terralive_terraform.evaluation.planned import PlannedFunction

_Condition: TypeAlias = Callable[[Mapping[str, Json]], bool]
_NAMED: Final = 5
# The beginnings of the names of runtimes whose deployed code runs in the sandbox.
_RUNTIMES: Final = ("python", "nodejs", "provided")
# The services that pipes read.
_PIPE_SOURCES: Final = ("sqs", "dynamodb", "kinesis")
# The services that rules, schedules, pipes and asynchronous invocations send to.
_DESTINATIONS: Final = ("lambda", "sqs", "sns")
# The blocks of a schedule's target that only other services take.
_OTHER_TARGETS: Final = (
    "ecs_parameters",
    "eventbridge_parameters",
    "kinesis_parameters",
    "sagemaker_pipeline_parameters",
)
_OBJECT_EVENTS: Final = ("s3:ObjectCreated:", "s3:ObjectRemoved:")


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
    applies: _Condition


def _always(_: Mapping[str, Json]) -> bool:
    return True


def _has(attribute: str) -> _Condition:
    """Return whether an attribute or block is set."""
    return lambda values: bool(values.get(attribute))


def _is(attribute: str, *wanted: str) -> _Condition:
    """Return whether an attribute has one of these values."""
    return lambda values: text(values, attribute) in wanted


def _is_other(attribute: str, *known: str) -> _Condition:
    """Return whether an attribute is set to something else than these values."""
    return lambda values: text(values, attribute) not in {"", *known}


def _any(*conditions: _Condition) -> _Condition:
    """Return whether one of several conditions holds."""
    return lambda values: any(applies(values) for applies in conditions)


def _in(block: str, applies: _Condition) -> _Condition:
    """Return whether a condition holds for a nested block."""
    return lambda values: any(applies(as_object(item)) for item in items(values, block))


def _arn_is_other(attribute: str, *services: str) -> _Condition:
    """Return whether an ARN is known and of another service than these."""

    def applies(values: Mapping[str, Json]) -> bool:
        match text(values, attribute).split(":"):
            case ["arn", _, service, *_]:
                return service not in services
        return False

    return applies


def _sends_other_events(values: Mapping[str, Json]) -> bool:
    """Tell whether a notification of a bucket is about other events than objects' own."""
    for block in ("lambda_function", "queue", "topic"):
        for item in items(values, block):
            for event in items(as_object(item), "events"):
                if not str(event).startswith(_OBJECT_EVENTS):
                    return True
    return False


def _maps_parameters(values: Mapping[str, Json]) -> bool:
    """Tell whether an integration of a function maps parameters."""
    if values.get("integration_subtype"):
        return False
    return bool(values.get("request_parameters") or values.get("response_parameters"))


def _has_issuer_elsewhere(values: Mapping[str, Json]) -> bool:
    """Tell whether an authorizer's issuer is known and not on this machine."""
    issuers_of = [text(as_object(item), "issuer") for item in items(values, "jwt_configuration")]
    return any(issuer and not issuers.is_emulated(issuer) for issuer in issuers_of)


_NO_REQUESTS: Final = "answered with 501 NotEmulatedBySandbox"
_REFUSED: Final = "refused when they are created (NotEmulatedBySandbox)"
_INVOKES_NOTHING: Final = "kept, and invoke no function"

_GAPS: Final = (
    _Gap("aws_sfn_state_machine", "kept, and no execution of them runs", _always),
    _Gap(
        "aws_apigatewayv2_authorizer",
        f"kept, their issuer is not on this machine, and requests are {_NO_REQUESTS}",
        _has_issuer_elsewhere,
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
        _is_other("type", "AWS", "AWS_PROXY", "MOCK"),
    ),
    _Gap(
        "aws_apigatewayv2_integration",
        f"kept; requests are {_NO_REQUESTS}",
        _any(
            _is_other("integration_type", "AWS_PROXY"),
            _is_other("integration_subtype", *EMULATED_SUBTYPES),
            _maps_parameters,
        ),
    ),
    _Gap("aws_apigatewayv2_route", f"kept; requests are {_NO_REQUESTS}", _has("api_key_required")),
    _Gap("aws_apigatewayv2_api", "refused because of their target", _has("target")),
    _Gap("aws_lambda_event_source_mapping", f"{_REFUSED}: Kafka", _has("topics")),
    _Gap("aws_lambda_event_source_mapping", f"{_REFUSED}: Amazon MQ", _has("queues")),
    _Gap(
        "aws_lambda_event_source_mapping",
        f"{_REFUSED}: DocumentDB",
        _has("document_db_event_source_config"),
    ),
    _Gap(
        "aws_lambda_event_source_mapping",
        f"{_REFUSED}: they read from a consumer of a Kinesis stream (enhanced fan-out)",
        lambda values: "/consumer/" in text(values, "event_source_arn"),
    ),
    _Gap(
        "aws_lambda_event_source_mapping",
        f"{_REFUSED}: they have a tumbling window",
        _has("tumbling_window_in_seconds"),
    ),
    _Gap(
        "aws_lambda_event_source_mapping",
        f"{_REFUSED}: they have an on-failure destination",
        _has("destination_config"),
    ),
    _Gap(
        "aws_lambda_function_event_invoke_config",
        f"{_REFUSED}: their destination is no function, queue or topic",
        _in(
            "destination_config",
            _any(
                _in("on_success", _arn_is_other("destination", *_DESTINATIONS)),
                _in("on_failure", _arn_is_other("destination", *_DESTINATIONS)),
            ),
        ),
    ),
    _Gap(
        "aws_cloudwatch_event_target",
        f"{_REFUSED}: they are no function, queue or topic",
        _arn_is_other("arn", *_DESTINATIONS),
    ),
    _Gap(
        "aws_scheduler_schedule",
        f"{_REFUSED}: their target is no function, queue or topic",
        _in("target", _any(_arn_is_other("arn", *_DESTINATIONS), *map(_has, _OTHER_TARGETS))),
    ),
    _Gap(
        "aws_pipes_pipe",
        f"{_REFUSED}: the source, enrichment or target of these pipes",
        _any(
            _arn_is_other("source", *_PIPE_SOURCES),
            _arn_is_other("enrichment", "lambda"),
            _arn_is_other("target", *_DESTINATIONS),
        ),
    ),
    _Gap("aws_lambda_alias", f"{_REFUSED}: they are weighted", _has("routing_config")),
    _Gap("aws_cloudwatch_event_archive", _REFUSED, _always),
    _Gap("aws_cloudwatch_event_api_destination", _REFUSED, _always),
    _Gap("aws_cognito_user_pool", _INVOKES_NOTHING, _has("lambda_config")),
    _Gap("aws_iot_topic_rule", _INVOKES_NOTHING, _has("lambda")),
    _Gap("aws_lb_target_group", _INVOKES_NOTHING, _is("target_type", "lambda")),
    _Gap("aws_s3_bucket_notification", "sent to no event bus", _has("eventbridge")),
    _Gap(
        "aws_s3_bucket_notification",
        "sent only for objects that are created or removed",
        _sends_other_events,
    ),
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
    yield from _document_warnings(evaluation)
    not_run = [
        item.address
        for item in functions
        if without_keys(item.address) not in live and not _runs(item)
    ]
    if not_run:
        yield _warning(not_run, "not run: their runtime is not in the sandbox")


def _document_warnings(evaluation: Evaluation) -> Iterator[Warned]:
    """Yield a warning for each API whose OpenAPI document has something that the sandbox lacks."""
    for kind in ("aws_api_gateway_rest_api", "aws_apigatewayv2_api"):
        for item in evaluation.instances(kind):
            of_http_api = kind == "aws_apigatewayv2_api"
            missing = missing_parts(text(item.values, "body"), of_http_api=of_http_api)
            if missing:
                yield Warned(
                    reference="sandbox-lacks",
                    message=f"In the sandbox these are kept, and requests to them are "
                    f"{_NO_REQUESTS}: {listed(missing, _NAMED)}. They are in the OpenAPI document "
                    f"of {item.address}.",
                )


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

"""The sources of a function: those of its event source mappings and of its policy. Pure.

https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html
https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from terralive_cli.invoking.event.templates import Value
from terralive_stub.shared.arns import Place, partition_of, place_of
from terralive_stub.shared.json_documents import as_object, items, parse_object, text
from terralive_stub.shared.timestamps import format_datetime


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of source.

    Attributes:
        service: the service in its ARN.
        noun: the word for it in a sentence.
    """

    service: str
    noun: str


_API: Final = _Kind("execute-api", "API")
# The source of each template that names one.
_SOURCES: Final[Mapping[str, _Kind]] = {
    "alb": _Kind("elasticloadbalancing", "target group"),
    "cognito": _Kind("cognito-idp", "user pool"),
    "dynamodb": _Kind("dynamodb", "table's stream"),
    "http": _API,
    "kinesis": _Kind("kinesis", "stream"),
    "rest": _API,
    "s3": _Kind("s3", "bucket"),
    "schedule": _Kind("events", "rule"),
    "sns": _Kind("sns", "topic"),
    "sqs": _Kind("sqs", "queue"),
    "websocket": _API,
}
FROM_MAPPINGS: Final = ("dynamodb", "kinesis", "sqs")
FROM_POLICY: Final = tuple(name for name in _SOURCES if name not in FROM_MAPPINGS)
# The resources of sources that are examples.
_EXAMPLES: Final[Mapping[str, str]] = {
    "alb": "targetgroup/example/0123456789abcdef",
    "cognito": "userpool/example",
    "dynamodb": "table/example/stream/2026-01-01T00:00:00.000",
    "kinesis": "stream/example",
    "schedule": "rule/example",
}
_ANY: Final = "*"
_API_PARTS: Final = 4


@dataclass(frozen=True, slots=True)
class Function:
    """The function that an event is for.

    Attributes:
        arn: its ARN, without a qualifier.
        role_arn: the ARN of its role; "" if it is not known.
    """

    arn: str
    role_arn: str = ""


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources that invoke a function, as far as the caller may see them.

    Attributes:
        arns: the ARNs of queues, streams, buckets, topics, rules, APIs, …
        url: its function URL; "" if there is none, or if it is not known.
    """

    arns: tuple[str, ...] = ()
    url: str = ""

    def of_template(self, template: str) -> tuple[str, ...]:
        """Return the sources whose event a template is, but for patterns of several sources."""
        kind = _SOURCES.get(template)
        if kind is None:
            return ()
        found = [arn for arn in self.arns if _service_of(arn) == kind.service]
        if kind is _API:
            # A pattern stands for stages, methods and paths there.
            return tuple(found)
        return tuple(arn for arn in found if _ANY not in arn)


def mapped_sources(mappings: Iterable[Mapping[str, object]]) -> tuple[str, ...]:
    """Return the ARNs of queues and streams in event source mappings."""
    return _once(text(mapping, "EventSourceArn") for mapping in mappings)


def permitted_sources(policy: str) -> tuple[str, ...]:
    """Return the ARNs that the statements of a function's policy let invoke it.

    Args:
        policy: the policy, as JSON.
    """
    found: list[str] = []
    for statement in items(parse_object(policy), "Statement"):
        condition = as_object(as_object(statement).get("Condition"))
        for comparison in condition.values():
            for key, value in as_object(comparison).items():
                if key.lower() == "aws:sourcearn":
                    found += _texts(value)
    return _once(found)


def note_of(template: str, sources: Sources) -> str:
    """Return what a person should know of the names in a template's event; "" for nothing."""
    if template == "url" and not sources.url:
        return "The function has no function URL that you may see: the event has example names."
    kind = _SOURCES.get(template)
    if kind is None:
        return ""
    found = sources.of_template(template)
    if not found:
        return f"No {kind.noun} that invokes the function is known: the event has example names."
    if len(found) > 1:
        others = ", ".join(found[1:])
        return f"The event is of {found[0]}. The function is also invoked by: {others}"
    if template == "http" and _ANY in _api_parts(found[0])[2:]:
        return (
            "The function's permission names no route: the event is of GET /. Name yours, as in "
            "`--set routeKey='GET /orders' --set rawPath=/orders`."
        )
    return ""


def _api_parts(source: str) -> tuple[str, ...]:
    """Return the parts of `arn:…:API/STAGE/METHOD/PATH`; `*` stands for what is not there."""
    parts = source.rpartition(":")[2].split("/", _API_PARTS - 1)
    parts += [_ANY] * (_API_PARTS - len(parts))
    return tuple(parts)


def values_for(
    template: str, function: Function, sources: Sources, now: datetime, unique_id: str
) -> dict[str, Value]:
    """Return the values of a template's event.

    Args:
        template: name of the template.
        function: the function that the event is for.
        sources: what invokes it. Examples stand in the place of what is not known.
        now: the time of the event (UTC).
        unique_id: the id of the event.
    """
    place = place_of(function.arn)
    partition = partition_of(function.arn) or "aws"
    source = _example(template, partition, place)
    found = sources.of_template(template)
    if found:
        source = found[0]
    epoch_ms = int(now.timestamp() * 1000)
    values: dict[str, Value] = {
        "account": place.account,
        "region": place.region,
        "id": unique_id,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "time_ms": format_datetime(now),
        "request_time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "epoch_ms": epoch_ms,
        "epoch_ms_text": str(epoch_ms),
        "epoch_s": epoch_ms // 1000,
        "role_arn": function.role_arn or f"arn:{partition}:iam::{place.account}:role/example",
        "source_arn": source,
        # A bucket, and the id of a user pool.
        "source_name": source.rpartition(":")[2].rpartition("/")[2],
    }
    if template == "url":
        values.update(_url_values(sources.url, place.region))
    elif _SOURCES.get(template) is _API:
        values.update(_api_values(template, source, place.region))
    return values


def _example(template: str, partition: str, place: Place) -> str:
    """Return the ARN of a source that does not exist, for a template that names one."""
    kind = _SOURCES.get(template)
    if kind is None:
        return ""
    resource = _EXAMPLES.get(template, "example")
    if template == "s3":
        # A bucket's ARN names no region and no account.
        return f"arn:{partition}:s3:::{resource}"
    return f"arn:{partition}:{kind.service}:{place.region}:{place.account}:{resource}"


def _api_values(template: str, source: str, region: str) -> dict[str, Value]:
    """Return the values of an API's request: `arn:…:API/STAGE/METHOD/PATH` permits it.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/arn-format-reference.html
    """
    api_id, stage, method, path = _api_parts(source)
    route_key = "$default"
    if _ANY not in (method, path):
        route_key = f"{method} /{path}"
    default_stage = "example"
    if template == "http":
        default_stage = "$default"
    api_id = _known(api_id, "example")
    return {
        "api_id": api_id,
        "api_stage": _known(stage, default_stage),
        "method": _known(method, "GET"),
        "path": f"/{_known(path, '')}",
        "route_key": route_key,
        "domain": f"{api_id}.execute-api.{region}.amazonaws.com",
    }


def _url_values(url: str, region: str) -> dict[str, Value]:
    """Return the values of a function URL's request.

    https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
    """
    domain = urlsplit(url).hostname or f"example.lambda-url.{region}.on.aws"
    return {
        "api_id": domain.partition(".")[0],
        "api_stage": "$default",
        "method": "GET",
        "path": "/",
        "route_key": "$default",
        "domain": domain,
    }


def _service_of(arn: str) -> str:
    parts = arn.split(":")
    if len(parts) < 3:  # noqa: PLR2004  # `arn:PARTITION:SERVICE`
        return ""
    return parts[2]


def _known(part: str, default: str) -> str:
    """Return a part of a permission's ARN, or a default where it stands for several."""
    if _ANY in part:
        return default
    return part


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Sequence):
        return [item for item in value if isinstance(item, str)]
    return []


def _once(arns: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(arn for arn in arns if arn))

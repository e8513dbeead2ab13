"""Every answer of the sandbox, compared with botocore's service models.

`watch` adds the comparison to a client. The checks are pure:

- A JSON body has no member that the model lacks, and none of another JSON type. botocore drops
  both without an error.
- A parsed answer has the required members, types and enum values of the model.
- An error has a message, and a code that the operation or AWS as a whole knows, under its status.

`EXCEPTIONS` lists the differences of moto, each with the reason why it does not matter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape
from botocore.parsers import create_parser
from botocore.validate import ParamValidator

# Errors that every operation may have:
# https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html and the same page of the others.
# Errors of signatures, in JSON and in query protocols:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
# https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
# `NotEmulatedBySandbox` is the sandbox's own.
COMMON_ERRORS = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InternalFailure",
        "InvalidAccessKeyId",
        "InvalidAction",
        "InvalidClientTokenId",
        "InvalidParameterValue",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "MissingParameter",
        "NotEmulatedBySandbox",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "ServiceUnavailable",
        "SignatureDoesNotMatch",
        "Throttling",
        "ThrottlingException",
        "UnrecognizedClientException",
        "ValidationError",
        "ValidationException",
    }
)
# Service, operation ("*" for all of the service) and a part of the violation's text, and the reason
# why the difference does not matter.
EXCEPTIONS: Mapping[tuple[str, str, str], str] = {
    (
        "apigatewaymanagementapi",
        "*",
        "GoneException (410) has no message",
    ): "AWS's own has none, SDKs show it as null",
    ("events", "ListRules", "Rules[].CreatedBy is not"): "more than AWS tells; SDKs drop it",
    (
        "events",
        "ListTargetsByRule",
        "for member Targets, value: 0",
    ): "AWS answers an empty list too, the model's least is 1",
    (
        "kinesis",
        "PutRecords",
        "FailedRecordCount, value: 0",
    ): "AWS answers 0 if every record was put, the model's least is 1",
    (
        "kinesis",
        "*",
        "ShardLevelMetrics, value: 0",
    ): "AWS answers an empty list without metrics, the model's least is 1",
    (
        "lambda",
        "ListLayers",
        "Layers[].LatestMatchingVersion.",
    ): "more than AWS tells; SDKs drop it",
    (
        "secretsmanager",
        "DescribeSecret",
        "SecretVersionsToStages is not",
    ): "under both operations' names for it; SDKs drop one",
    ("secretsmanager", "ListSecrets", "VersionIdsToStages is not"): "the same",
    (
        "dynamodb",
        "*",
        "NumberOfDecreasesToday, value: 0",
    ): "AWS answers 0 too, whatever the least value of the model",
}
_FIRST_ERROR_STATUS = 300
_JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "character": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "list": (list,),
    "map": (dict,),
    "structure": (dict,),
}


class ShapeError(AssertionError):
    """An answer differs from the service's model."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One difference between an answer and its model. `what` names the member."""

    service: str
    operation: str
    what: str

    def __str__(self) -> str:
        return f"{self.service} {self.operation}: {self.what}"

    @property
    def is_known(self) -> bool:
        return any(
            service == self.service and operation in {"*", self.operation} and part in self.what
            for service, operation, part in EXCEPTIONS
        )


class Client(Protocol):
    """Any boto3 client."""

    @property
    def meta(self) -> Any: ...  # noqa: ANN401 - botocore's own types say as much


def fail(found: Sequence[Violation]) -> None:
    raise ShapeError("\n".join(map(str, found)))


def watch(client: Client, report: Callable[[Sequence[Violation]], None] = fail) -> None:
    """Pass every violation in an answer to this client to `report`.

    The caller of the client gets the exceptions of `report`.
    """

    def before_parse(
        operation_model: OperationModel, response_dict: dict[str, Any], **_: object
    ) -> None:
        if operation_model.has_event_stream_output:
            return  # Its body is read by the caller, while it comes.
        found = violations(operation_model, response_dict)
        if found:
            report(found)

    client.meta.events.register("before-parse", before_parse)


def violations(operation: OperationModel, answer: dict[str, Any]) -> list[Violation]:
    """Return all violations of an answer, except those in `EXCEPTIONS`.

    `answer` is botocore's dictionary: `status_code`, `headers`, `body`.
    """
    failed = answer["status_code"] >= _FIRST_ERROR_STATUS
    found: list[str] = []
    if not failed:
        found = [*raw_violations(operation, answer["body"])]
    if not found:
        # Parsed here, because handlers of botocore change the parsed answer.
        parser = create_parser(operation.service_model.resolved_protocol)
        shape: Any = operation.output_shape  # may be None
        parsed = parser.parse(answer, shape)
        if failed:
            found = [*error_violations(operation, answer["status_code"], parsed.get("Error", {}))]
        else:
            found = [*parsed_violations(operation, parsed)]
    everything = [
        Violation(operation.service_model.service_name, operation.name, what) for what in found
    ]
    return [violation for violation in everything if not violation.is_known]


def raw_violations(operation: OperationModel, body: object) -> Iterator[str]:
    """Yield the members of a successful JSON body that the model does not have."""
    output = operation.output_shape
    if operation.service_model.resolved_protocol not in {"json", "rest-json"} or not isinstance(
        output, StructureShape
    ):
        return
    payload = output.serialization.get("payload")
    shape: Shape = output
    if payload is not None:
        shape = output.members[payload]
    if not isinstance(body, bytes) or shape.type_name in {"blob", "string"} or not body:
        return
    try:
        value = json.loads(body)
    except ValueError:
        yield f"the body is not JSON: {body[:200]!r}"
        return
    yield from _json_violations(shape, value, "")


def _json_violations(shape: Shape, value: object, where: str) -> Iterator[str]:
    if value is None or getattr(shape, "is_document_type", False):
        return  # null: some services write it for a member that is not there
    if not _has_json_type(shape, value):
        place = where or "the body"
        yield f"{place} is {json.dumps(value)[:80]}, the model wants {shape.type_name}"
        return
    match shape, value:
        case StructureShape(), dict():
            yield from _member_violations(shape, value, where)
        case ListShape(), list():
            for item in value:
                yield from _json_violations(shape.member, item, f"{where}[]")
        case MapShape(), dict():
            for item in value.values():
                yield from _json_violations(shape.value, item, f"{where}{{}}")


def _member_violations(
    shape: StructureShape, value: Mapping[str, object], where: str
) -> Iterator[str]:
    in_body = {
        member.serialization.get("name", name): member
        for name, member in shape.members.items()
        if member.serialization.get("location") is None
    }
    for name, item in value.items():
        if name in in_body:
            yield from _json_violations(in_body[name], item, f"{where}.{name}".lstrip("."))
        elif name != "__type":
            yield f"{where}.{name} is not in the model".lstrip(".")


def _has_json_type(shape: Shape, value: object) -> bool:
    if shape.type_name == "timestamp":
        types: tuple[type, ...] = (int, float)
        if shape.serialization.get("timestampFormat"):
            types = (str,)
    else:
        types = _JSON_TYPES[shape.type_name]
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))


def parsed_violations(operation: OperationModel, parsed: Mapping[str, object]) -> Iterator[str]:
    """Yield the differences between botocore's parsed answer and the output shape."""
    shape = operation.output_shape
    if not isinstance(shape, StructureShape):
        return
    value = {name: item for name, item in parsed.items() if name != "ResponseMetadata"}
    report = ParamValidator().validate(value, shape)
    for line in report.generate_report().splitlines():
        yield re.sub(
            r"\[\d+\]",
            "[]",
            line.replace("in input", "in the answer").replace("parameter", "member"),
        )
    yield from _enum_violations(shape, value, "")


def _enum_violations(shape: Shape, value: object, where: str) -> Iterator[str]:
    match shape, value:
        case StringShape(), str():
            if shape.enum and value not in shape.enum:
                yield f"{where} is {value!r}, the model knows {', '.join(shape.enum)}"
        case StructureShape(), dict():
            for name, member in shape.members.items():
                yield from _enum_violations(member, value.get(name), f"{where}.{name}".lstrip("."))
        case ListShape(), list():
            for item in value:
                yield from _enum_violations(shape.member, item, f"{where}[]")
        case MapShape(), dict():
            for key, item in value.items():
                yield from _enum_violations(shape.key, key, f"{where}'s key")
                yield from _enum_violations(shape.value, item, f"{where}{{}}")


def error_violations(
    operation: OperationModel, status: int, error: Mapping[str, object]
) -> Iterator[str]:
    """Yield the violations in an error's code, status and message."""
    code = str(error.get("Code") or "")
    if operation.http.get("method") == "HEAD":
        return  # no body to hold them
    if not error.get("Message"):
        yield f"the error {code} ({status}) has no message"
    # SQS has the name of the JSON protocol beside that of the query protocol.
    name = str(error.get("QueryErrorCode") or code)
    known = _known_errors(operation)
    if name in known:
        wanted = known[name].get("httpStatusCode", status)
        if wanted != status:
            yield f"the error {code} has the status {status}, the model says {wanted}"
    elif not code or code.isdigit():
        yield f"the error ({status}) has no code"
    elif known and code not in COMMON_ERRORS and _models_errors(operation):
        yield f"the error {code} is none of {', '.join(sorted(known))}"


def _known_errors(operation: OperationModel) -> Mapping[str, Mapping[str, Any]]:
    """Return what the model tells about each error of an operation, by the error's code."""
    known: dict[str, Mapping[str, Any]] = {}
    for shape in operation.error_shapes:
        error: Mapping[str, Any] = shape.metadata.get("error", {})
        known[error.get("code", shape.name)] = error
    return known


def _models_errors(operation: OperationModel) -> bool:
    """Return whether the model lists all errors. S3 and EC2 list only a few of theirs."""
    return operation.service_model.resolved_protocol not in {"rest-xml", "ec2"}

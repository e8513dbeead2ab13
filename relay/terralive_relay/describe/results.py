"""Describes the result of a handler: the HTTP status that it names, failed items of a batch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from terralive_relay.describe.values import as_number
from terralive_stub.protocol.invocation import Outcome
from terralive_stub.shared.json_documents import items, parse_object

# A larger result is not parsed: only its beginning is read.
_PARSED_BYTES: Final = 64 * 1024
_STATUS: Final = re.compile(rb'\s*\{\s*"statusCode"\s*:\s*"?(\d{3})\b')
_STATUSES: Final = range(100, 600)
_REQUESTS: Final = frozenset({"http", "lattice", "websocket"})
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
# https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
# https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
_BATCHES: Final = frozenset({"sqs", "kinesis", "dynamodb", "kafka"})


@dataclass(frozen=True, slots=True)
class ResultDescription:
    """The description of a handler's result.

    Attributes:
        status: the HTTP status of the response; None if it names none.
        failed_items: number of items of a batch that it reports as failed.
    """

    status: int | None = None
    failed_items: int = 0


def describe_result(outcome: Outcome, trigger: str) -> ResultDescription:
    """Describe a handler's result.

    Args:
        outcome: the result.
        trigger: the invocation's trigger, as in `EventDescription`.
    """
    if not outcome.ok:
        return ResultDescription()
    if trigger in _REQUESTS:
        return ResultDescription(status=_status(outcome.body))
    if trigger in _BATCHES and b"batchItemFailures" in outcome.body[:_PARSED_BYTES]:
        failures = items(parse_object(outcome.body), "batchItemFailures")
        return ResultDescription(failed_items=len(failures))
    return ResultDescription()


def describe_prelude(first: bytes, trigger: str) -> int | None:
    """Return the HTTP status that a streamed response begins with; None if there is none.

    The prelude is a JSON object before the body:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html

    Args:
        first: the first piece of the response.
        trigger: the invocation's trigger, as in `EventDescription`.
    """
    found = _STATUS.match(first)
    if trigger not in _REQUESTS or found is None:
        return None
    return _valid(int(found[1]))


def _status(body: bytes) -> int | None:
    """Return the status that a response names.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
    """
    if len(body) > _PARSED_BYTES:
        found = _STATUS.match(body[:_PARSED_BYTES])
        status = int(found[1]) if found is not None else 0
    else:
        status = as_number(parse_object(body).get("statusCode"))
    return _valid(status)


def _valid(status: int) -> int | None:
    if status in _STATUSES:
        return status
    return None

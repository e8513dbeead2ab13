"""A function's queues in the configuration, and how far its timeout is raised for a debugger."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.discovery.queues import queue_visibilities
from terralive_terraform.substitution.rules import (
    LiveSettings,
    Substitution,
    substitute,
)

ADDRESS = "aws_lambda_function.api"


def polled(source: str, function: str = f"${{{ADDRESS}.arn}}") -> tuple[int | None, ...]:
    mapping: Json = {"event_source_arn": source, "function_name": function}
    resources: dict[str, Json] = {
        "aws_lambda_event_source_mapping": {"work": mapping},
        "aws_sqs_queue": {
            "long": {"visibility_timeout_seconds": 120},
            "usual": {},
            "set": {"visibility_timeout_seconds": "${var.seconds}"},
        },
    }
    return queue_visibilities("api", "orders-api", resources)


@pytest.mark.parametrize(
    ("source", "visibilities"),
    [
        ("${aws_sqs_queue.long.arn}", (120,)),
        ("${aws_sqs_queue.long[0].arn}", (120,)),
        ("${aws_sqs_queue.usual.arn}", (30,)),
        ("${aws_sqs_queue.set.arn}", (None,)),
        ("${data.aws_sqs_queue.long.arn}", (None,)),
        ("${module.queue.arn}", (None,)),
        ("${var.source}", (None,)),
        ("arn:aws:sqs:eu-west-1:123456789012:work", (None,)),
        ("arn:aws:kinesis:eu-west-1:123456789012:stream/a", ()),
        ("${aws_dynamodb_table.orders.stream_arn}", ()),
        ("", ()),
    ],
)
def test_a_queues_visibility_timeout_is_what_the_configuration_says(
    source: str, visibilities: tuple[int | None, ...]
) -> None:
    assert polled(source) == visibilities


def test_only_a_functions_own_mappings_count() -> None:
    assert polled("${aws_sqs_queue.long.arn}", "orders-api") == (120,)
    assert polled("${aws_sqs_queue.long.arn}", f'${{{ADDRESS}["a"].function_name}}') == (120,)
    assert polled("${aws_sqs_queue.long.arn}", "${aws_lambda_function.api_other.arn}") == ()


@pytest.mark.parametrize(
    ("facts", "raised"),
    [
        (DeclaredFunction(ADDRESS, "api", timeout=10), 900),
        (DeclaredFunction(ADDRESS, "api", timeout=10, queue_visibilities=(60,)), 60),
        (DeclaredFunction(ADDRESS, "api", timeout=10, queue_visibilities=(5000,)), 900),
        (DeclaredFunction(ADDRESS, "api", timeout=10, queue_visibilities=(None,)), None),
        (DeclaredFunction(ADDRESS, "api", timeout=900), None),
        (DeclaredFunction(ADDRESS, "api", timeout=10, ignored=("timeout",)), None),
        (DeclaredFunction("aws_lambda_function.other", "other", timeout=10), None),
    ],
    ids=[
        "no queue",
        "short queue",
        "long queue",
        "unknown queue",
        "longest",
        "ignored",
        "not debugged",
    ],
)
def test_only_a_debugged_functions_timeout_is_raised_and_only_as_far_as_aws_takes_it(
    facts: DeclaredFunction, raised: int | None
) -> None:
    decision = substitute(facts, LiveSettings(Path("stub.zip"), "hash", debug=("api",)))
    assert isinstance(decision, Substitution)
    assert decision.set.get("timeout") == raised

"""The list of what a plan changes beside the functions' code, and the names in questions."""

from __future__ import annotations

import io
import json

import pytest

from terralive_cli.configuration.values import Output
from terralive_cli.output.events import ChangesListed, ResourceChange
from terralive_cli.output.renderer import Renderer
from terralive_terraform.addresses import spoken_name

DELETED = ResourceChange("aws_db_instance.orders", "delete", "aws_db_instance")
UPDATED = ResourceChange(
    'module.a["x"].aws_sqs_queue.jobs[0]', "update", "aws_sqs_queue", ("fifo_queue", "name")
)


def created(kind: str, count: int) -> tuple[ResourceChange, ...]:
    return tuple(ResourceChange(f"{kind}.r{n}", "create", kind) for n in range(count))


def lines(event: ChangesListed, output: Output = Output.PLAIN) -> list[str]:
    stream = io.StringIO()
    with Renderer.start(output, stream) as renderer:
        renderer.emit(event)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("output", [Output.PLAIN, Output.RICH])
def test_each_change_is_a_line_with_its_action_address_and_attributes(output: Output) -> None:
    assert lines(ChangesListed("dev-ana", (DELETED, UPDATED)), output) == [
        "Other changes, beside the functions' code:",
        "  delete  aws_db_instance.orders",
        '  update  module.a["x"].aws_sqs_queue.jobs[0]  (fifo_queue, name)',
    ]


def test_many_created_resources_are_counted_by_type_and_nothing_else_is() -> None:
    functions = created("aws_lambda_function", 2)
    event = ChangesListed("dev-ana", (*created("aws_iam_role", 30), DELETED, *functions))
    assert lines(event)[1:] == [
        "  delete  aws_db_instance.orders",
        "  create  aws_iam_role         30",
        "  create  aws_lambda_function  2  (r0, r1)",
    ]


def test_a_destroy_lists_every_resource() -> None:
    deleted = tuple(
        ResourceChange(f"aws_sns_topic.t{n}", "delete", "aws_sns_topic") for n in range(40)
    )
    head, *others = lines(ChangesListed("dev-ana", deleted, destroys_app=True))
    assert head == "The whole app is destroyed, 40 resources:"
    assert len(others) == 40


def test_scripts_get_every_change() -> None:
    event = ChangesListed("dev-ana", (*created("aws_iam_role", 30), UPDATED), first=True)
    (line,) = lines(event, Output.JSON)
    document = json.loads(line)
    assert (document["type"], document["first"], len(document["changes"])) == ("changes", True, 31)
    assert document["changes"][-1] == {
        "address": 'module.a["x"].aws_sqs_queue.jobs[0]',
        "action": "update",
        "resource_type": "aws_sqs_queue",
        "attributes": ["fifo_queue", "name"],
    }


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("aws_lambda_function.api", "api"),
        ('aws_lambda_function.this["eu"]', 'this["eu"]'),
        ("module.orders.aws_lambda_function.this[0]", "orders"),
        ("module.orders.aws_lambda_function.this[1]", "orders[1]"),
        ('module.orders["eu"].aws_lambda_function.main', 'orders["eu"]'),
        ('module.jobs["a.b"].aws_lambda_function.send["x"]', 'jobs["a.b"].send["x"]'),
        ("module.a.module.fn.aws_lambda_function.this", "a.fn"),
        ("module.orders.aws_lambda_function.this_one", "orders.this_one"),
        ("orders-dev-api", "orders-dev-api"),
    ],
)
def test_a_question_names_functions_by_module_and_key(address: str, name: str) -> None:
    assert spoken_name(address) == name

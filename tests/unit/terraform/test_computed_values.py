"""Values of a configuration that are computed without Terraform, and those that are unknown."""

from __future__ import annotations

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.discovery.block_values import block_values, repeats_never
from terralive_terraform.discovery.declared import declared_function
from terralive_terraform.discovery.hcl.scope import Scope, compute
from terralive_terraform.discovery.hcl.values import Unknown, Value

SCOPE = Scope(
    variables={
        "null": None,
        "empty": [],
        "map": {"NAME": "x"},
        "text": "dev",
        "unknown": Unknown.MAYBE_NULL,
    },
    locals={
        "vpc": "${var.null == null ? [] : [true]}",
        "circle": "${local.circle}",
        **{f"step{n}": f"${{local.step{n + 1}}}" for n in range(1000)},
    },
    paths={"module": "modules/api", "root": ".", "cwd": "/srv/app"},
    resources={
        "aws_s3_object": {"code": {"key": "code-${var.text}.zip", "source": "a.zip"}},
        "aws_iam_role": {"fn": {"name": "fn"}},
    },
    data={"archive_file": {"code": {"output_path": "${path.module}/code.zip"}}},
)
UNKNOWN, NOT_NULL = Unknown.MAYBE_NULL, Unknown.NOT_NULL


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("${local.vpc}", []),
        ("${var.unknown != null && var.null != null ? [true] : []}", []),
        ("${var.unknown == null || true ? [true] : []}", [NOT_NULL]),
        ("${length(keys(var.map)) == 0 ? [] : [var.text]}", ["dev"]),
        ("${path.module}/src", "modules/api/src"),
        ("${path.cwd}", "/srv/app"),
        ("fn-${var.text}", "fn-dev"),
        ("${aws_s3_object.code.key}", "code-dev.zip"),
        ("${aws_s3_object.code[0].key}", "code-dev.zip"),
        ("${data.archive_file.code.output_path}", "modules/api/code.zip"),
        (["${var.text}", {"${var.text}": "${var.null}"}], ["dev", {"dev": None}]),
        ("$${var.text}", "${var.text}"),
        # What only Terraform knows.
        ("${var.unknown}", UNKNOWN),
        ("${var.undeclared}", UNKNOWN),
        ("${local.undeclared}", UNKNOWN),
        ("${local.circle}", UNKNOWN),
        ("${local.step0}", UNKNOWN),
        ("${module.x.arn}", UNKNOWN),
        ("${aws_iam_role.fn.permissions_boundary}", UNKNOWN),
        ("${var.unknown ? aws_iam_role.fn.arn : null}", UNKNOWN),
        ("${try(var.unknown, null)}", UNKNOWN),
        ("${nosuchfunction(1)}", UNKNOWN),
        ("${not an expression", UNKNOWN),
        # Of these it is known that they are set.
        ("${aws_iam_role.fn.arn}", NOT_NULL),
        ("${aws_iam_role.elsewhere[0].arn}", NOT_NULL),
        ("x-${var.unknown}", NOT_NULL),
        ("${terraform.workspace}", NOT_NULL),
        ("${each.key}", NOT_NULL),
        ("${var.unknown ? 1 : 2}", NOT_NULL),
        ("${concat(var.empty, var.unknown)}", NOT_NULL),
    ],
)
def test_an_expression_is_computed_or_it_is_unknown(expression: Json, value: Value) -> None:
    assert compute(expression, SCOPE) == value


def dynamic(for_each: Json) -> dict[str, Json]:
    return {"dynamic": [{"vpc_config": {"for_each": for_each, "content": VPC}}]}


VPC: dict[str, Json] = {"subnet_ids": ["subnet-1"]}


@pytest.mark.parametrize(
    ("block", "is_set"),
    [
        ({"vpc_config": [VPC]}, True),
        ({"vpc_config": {"subnet_ids": "${aws_subnet.a[*].id}"}}, None),
        ({"vpc_config": {"subnet_ids": "${var.empty}"}}, False),
        ({"vpc_config": {"subnet_ids": [], "security_group_ids": []}}, False),
        (dynamic([]), False),
        (dynamic([True]), True),
        (dynamic({"a": 1}), True),
        (dynamic("${local.vpc}"), False),
        (dynamic("${var.null != null ? [true] : []}"), False),
        (dynamic("${var.unknown != null ? [true] : []}"), None),
        (dynamic("${toset([])}"), False),
        ({"vpc_config": None}, False),
        ({"vpc_config": []}, False),
        ({}, False),
    ],
)
def test_a_block_is_set_or_not_set_or_only_terraform_knows(
    block: dict[str, Json], is_set: bool | None
) -> None:
    values = block_values(block, SCOPE)
    found = ("vpc_config" in values.is_set, "vpc_config" in values.undecided)
    assert found == (is_set is True, is_set is None)


def test_a_dynamic_block_that_is_decided_reads_as_the_blocks_that_it_makes() -> None:
    block: dict[str, Json] = {
        "dynamic": [
            {
                "environment": {
                    "for_each": ["${var.map}"],
                    "iterator": "${it}",
                    "content": [{"variables": "${merge(it.value, {ROLE = aws_iam_role.fn.arn})}"}],
                }
            }
        ]
    }
    function = declared_function("aws_lambda_function.api", block, SCOPE)
    assert function.environment_names == {"NAME", "ROLE"}
    assert function.environment_known


def test_an_attribute_that_a_module_passes_on_has_the_value_of_its_call() -> None:
    block: dict[str, Json] = {
        "handler": '${var.text == "dev" ? "app.handler" : null}',
        "runtime": "${var.unknown}",
        "layers": "${var.empty}",
        "image_uri": "${var.null}",
        "package_type": "${var.null != null ? var.null : null}",
        "code_signing_config_arn": "${aws_lambda_code_signing_config.x.arn}",
    }
    function = declared_function("aws_lambda_function.api", block, SCOPE)
    assert (function.handler, function.runtime) == ("app.handler", None)
    assert function.attributes == {"handler", "code_signing_config_arn"}
    assert function.undecided == {"runtime"}
    assert not function.is_image


@pytest.mark.parametrize(
    ("block", "is_left_out"),
    [
        ({"count": 0}, True),
        ({"count": "${var.null != null ? 1 : 0}"}, True),
        ({"count": "${var.unknown ? 1 : 0}"}, False),
        ({"count": 1}, False),
        ({"for_each": "${toset(var.empty)}"}, True),
        ({"for_each": "${var.map}"}, False),
        ({"for_each": "${var.unknown}"}, False),
        ({}, False),
    ],
)
def test_only_a_block_that_certainly_never_repeats_is_left_out(
    block: dict[str, Json], is_left_out: bool
) -> None:
    assert repeats_never(block, SCOPE) == is_left_out

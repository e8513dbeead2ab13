"""Warnings before functions become live."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_cli.functions.warnings import (
    debug_warnings,
    function_warnings,
    images_in,
    new_resource_warnings,
    unreadable_warnings,
)
from terralive_stub.errors import ConfigurationError
from terralive_terraform.addresses import without_keys
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.discovery.files import Module
from terralive_terraform.discovery.hcl.folders import Unreadable
from terralive_terraform.evaluation.triggers.services import HTTP, REST
from terralive_terraform.output.shown_plan import PlannedResource, ShownPlan
from terralive_testing.fakes.plan_document import PlanDocument

API = "module.a.aws_lambda_function.api"


def test_an_address_without_its_keys_is_what_the_configuration_calls_it() -> None:
    assert without_keys('module.a["x[0].y"].aws_lambda_function.api["say \\"hi\\""]') == API
    assert without_keys("module.a[0].aws_lambda_function.api[*]") == API


def test_a_function_in_a_vpc_is_told_what_its_stub_needs() -> None:
    warnings = list(
        function_warnings([DeclaredFunction(API, "api", attributes=frozenset({"vpc_config"}))])
    )
    assert [(item.reference, item.function) for item in warnings] == [("function-in-vpc", API)]
    for part in ("NAT gateway", "execute-api with private DNS", "private resources", "VPN"):
        assert part in warnings[0].message


def test_a_file_that_cannot_be_read_is_named_with_what_may_be_missing() -> None:
    folder = Path("app")
    broken = Unreadable(folder / "main.tf", 7, "`}` is missing", 'module "x"')
    harmless = Unreadable(folder / "out.tf", 2, "a quoted text has no end", 'output "y"', False)
    modules = [Module(folder, (), (broken, harmless)), Module(folder / "other", ())]
    first, second = unreadable_warnings(modules)
    assert {first.reference, second.reference} == {"terraform-unreadable"}
    assert 'app/main.tf:7 (in module "x") cannot be read as Terraform' in first.message
    assert "are not found, and stay as they are" in first.message
    assert "app/out.tf:2" in second.message
    assert "No function is declared there." in second.message


def test_a_debugged_function_is_told_what_ends_a_breakpoint_before_its_time() -> None:
    queue = DeclaredFunction(
        API, "api", timeout=10, queue_visibilities=(60,), gateways=(HTTP, REST)
    )
    warnings = list(debug_warnings(queue))
    assert [item.reference for item in warnings] == [
        "debug-queue-visibility",
        *["debug-gateway-limit"] * 2,
    ]
    assert "60 s" in warnings[0].message
    assert ["30 s" in warnings[1].message, "29 s" in warnings[2].message] == [True, True]
    (unknown,) = debug_warnings(
        DeclaredFunction(API, "api", timeout=10, queue_visibilities=(None,))
    )
    assert "stays 10 s" in unknown.message
    (by_api,) = debug_warnings(DeclaredFunction(API, "api", timeout=10, ignored=("filename",)))
    assert by_api.reference == "debug-timeout-ignored"
    assert "stays 10 s" in by_api.message
    (ignored,) = debug_warnings(DeclaredFunction(API, "api", timeout=10, ignored=("timeout",)))
    assert ignored.reference == "debug-timeout-ignored"
    assert list(debug_warnings(DeclaredFunction(API, "api", queue_visibilities=(900,)))) == []


def test_the_stubs_image_is_one_of_the_stages_region() -> None:
    anywhere = {"arm64": "1.dkr.ecr.{region}.amazonaws.com/terralive-stub:v2"}
    assert images_in("eu-west-1", anywhere) == {
        "arm64": "1.dkr.ecr.eu-west-1.amazonaws.com/terralive-stub:v2"
    }
    with pytest.raises(ConfigurationError, match="another region than this stage") as caught:
        images_in("us-east-1", images_in("eu-west-1", anywhere))
    assert caught.value.reference == "stub-image-elsewhere"


@pytest.mark.parametrize("tag", [":1", ":latest", ":v1", ":v20", ""])
def test_an_image_of_the_stub_of_an_older_kind_is_refused_by_name(tag: str) -> None:
    image = f"1.dkr.ecr.eu-west-1.amazonaws.com/terralive-stub{tag}"
    with pytest.raises(ConfigurationError, match="is of an older kind") as caught:
        images_in("eu-west-1", {"arm64": image})
    assert caught.value.reference == "stub-image-too-old"
    assert "terralive init --stub-image" in caught.value.hint


@pytest.mark.parametrize("tag", [":v2", ":v2-orders", "@sha256:" + "0" * 64])
def test_a_tag_may_go_on_after_the_version_and_a_digest_has_none(tag: str) -> None:
    image = f"1.dkr.ecr.eu-west-1.amazonaws.com/terralive-stub{tag}"
    assert images_in("eu-west-1", {"arm64": image}) == {"arm64": image}


def test_new_resources_that_a_plan_of_the_functions_does_not_create_are_named() -> None:
    made = PlanDocument()
    made.managed("aws_sqs_queue.jobs", {"name": "jobs"})
    made.managed('module.a["x"].aws_iam_role.job', {"name": "job"})
    new = made.evaluation(Path()).new_addresses()
    role = PlannedResource('module.a["x"].aws_iam_role.job', "aws_iam_role", "create")
    plan = ShownPlan((role,), is_first=False)

    (warning,) = new_resource_warnings(new, plan)

    assert warning.reference == "not-deployed"
    assert "not deployed: aws_sqs_queue.jobs. " in warning.message
    assert list(new_resource_warnings(new[1:], plan)) == []
    (many,) = new_resource_warnings([f"aws_sqs_queue.q{n:02}" for n in range(12)], plan)
    assert "aws_sqs_queue.q09 and 2 more" in many.message

from __future__ import annotations

import pytest

from terralive_cli.deploy.warnings import debug_warnings, function_warnings, images_in
from terralive_stub.errors import ConfigurationError, TerraformError
from terralive_terraform.addresses import without_keys
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.discovery.triggers import HTTP, REST
from terralive_terraform.runs.progress import Change
from terralive_terraform.substitution.plan_checks import functions_after, refuse_replacements

API = "module.a.aws_lambda_function.api"


def change(
    action: str, reason: str = "", address: str = API, kind: str = "aws_lambda_function"
) -> Change:
    return Change(address, action, kind, reason)


@pytest.mark.parametrize("address", [API, 'module.a["x.y"].aws_lambda_function.api[0]'])
def test_a_live_function_is_never_replaced(address: str) -> None:
    with pytest.raises(TerraformError, match="delete and create again") as caught:
        refuse_replacements(
            [change("create", address="x"), change("replace", "cannot_update", address)], {API}
        )
    assert caught.value.reference == "function-would-be-replaced"
    assert address in caught.value.message
    with pytest.raises(TerraformError):
        refuse_replacements([change("delete", "", address)], {API})


@pytest.mark.parametrize(
    "harmless",
    [
        change("update"),
        change("create"),
        change("replace", "tainted"),
        change("delete", "delete_because_each_key", f'{API}["gone"]'),
        change("replace", "cannot_update", "aws_lambda_function.other"),
        change(
            "replace", "cannot_update", "aws_api_gateway_deployment.x", "aws_api_gateway_deployment"
        ),
    ],
    ids=lambda item: f"{item.action}-{item.reason}-{item.address}",
)
def test_what_the_configuration_itself_asks_for_goes_ahead(harmless: Change) -> None:
    refuse_replacements([harmless], {API})


def test_the_functions_that_a_plan_leaves_are_known_before_it_is_applied() -> None:
    changes = [
        change("create", address="aws_lambda_function.new"),
        change("delete", address="aws_lambda_function.old"),
    ]
    names = {API: "orders-api", "aws_lambda_function.old": "old"}
    assert functions_after(names, changes) == {API: "orders-api", "aws_lambda_function.new": ""}


def test_an_address_without_its_keys_is_what_the_configuration_calls_it() -> None:
    assert without_keys('module.a["x[0].y"].aws_lambda_function.api["say \\"hi\\""]') == API
    assert without_keys("module.a[0].aws_lambda_function.api[*]") == API


def test_a_function_in_a_vpc_is_told_what_its_stub_needs() -> None:
    warnings = list(
        function_warnings([DeclaredFunction(API, "api", attributes=frozenset({"vpc_config"}))])
    )
    assert [(item.reference, item.function) for item in warnings] == [("function-in-vpc", API)]
    assert "NAT" in warnings[0].message
    assert "execute-api" in warnings[0].message


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
    (ignored,) = debug_warnings(DeclaredFunction(API, "api", timeout=10, ignored=("timeout",)))
    assert ignored.reference == "debug-timeout-ignored"
    assert list(debug_warnings(DeclaredFunction(API, "api", queue_visibilities=(900,)))) == []


def test_the_stubs_image_is_one_of_the_stages_region() -> None:
    anywhere = {"arm64": "1.dkr.ecr.{region}.amazonaws.com/terralive-stub:1"}
    assert images_in("eu-west-1", anywhere) == {
        "arm64": "1.dkr.ecr.eu-west-1.amazonaws.com/terralive-stub:1"
    }
    with pytest.raises(ConfigurationError, match="another region than this stage") as caught:
        images_in("us-east-1", images_in("eu-west-1", anywhere))
    assert caught.value.reference == "stub-image-elsewhere"

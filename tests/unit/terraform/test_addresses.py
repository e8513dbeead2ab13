"""Addresses of instances are the same, whether a state or a plan names them."""

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.addresses import instance_key, names_of, with_key, without_keys
from terralive_terraform.output.state import deployed_functions


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("eu", '["eu"]'),
        ("café", '["café"]'),
        ("日本", '["日本"]'),
        ("😀", '["😀"]'),
        ("a.b[0]", '["a.b[0]"]'),
        ("<a&b>", '["<a&b>"]'),
        ('q"x\\y', '["q\\"x\\\\y"]'),
        ("t\ty\n", '["t\\ty\\n"]'),
        ("a${b}", '["a$${b}"]'),
        ("%{x}", '["%%{x}"]'),
        ("$x %y", '["$x %y"]'),
        ("\u200b", '["\\u200b"]'),
        (3, "[3]"),
    ],
)
def test_a_state_names_an_instance_as_a_plan_does(key: str | int, written: str) -> None:
    instance: Json = {"index_key": key, "attributes": {"function_name": "f", "arn": "arn"}}

    [(address, _)] = deployed_functions(_state(instance))

    # These texts are from `terraform show -json` of a plan with such keys.
    assert address == f"aws_lambda_function.f{written}"
    assert address == with_key("aws_lambda_function.f", key)
    assert instance_key(address) == str(key)
    assert without_keys(address) == "aws_lambda_function.f"


def test_a_resource_without_instances_has_no_key() -> None:
    assert with_key("aws_lambda_function.f", None) == "aws_lambda_function.f"
    assert instance_key("aws_lambda_function.f") == ""


def test_what_a_replacement_could_not_destroy_is_not_taken_for_the_function() -> None:
    current: Json = {"attributes": {"function_name": "new", "arn": "new"}}
    deposed: Json = {"deposed": "0a1b2c3d", "attributes": {"function_name": "old", "arn": "old"}}

    found = dict(deployed_functions(_state(current, deposed)))

    assert found["aws_lambda_function.f"].name == "new"


def _state(*instances: Json) -> Json:
    resource: dict[str, Json] = {"mode": "managed", "type": "aws_lambda_function", "name": "f"}
    return {"resources": [{**resource, "instances": list(instances)}]}


def test_a_module_s_only_function_has_the_names_under_which_it_is_shown() -> None:
    names = names_of('shop/module.orders.aws_lambda_function.this["eu"]', "")
    assert {"orders", 'orders["eu"]', "module.orders.this", "shop/orders"} <= names

from terralive_terraform.debug_stack.settings import DebugStackSettings, resource_name
from terralive_terraform.output.state import DeployedFunction, deployed_functions, managed_instances
from terralive_terraform.runs.version import parse_version


def test_names_say_what_they_belong_to() -> None:
    settings = DebugStackSettings(
        "orders", "dev-ana", "eu-west-1", "ana", "2026-01-01", "0.1.0", tags={"team": "x"}
    )
    assert settings.name("broker") == "terralive-orders-dev-ana-broker"
    assert settings.all_tags()["terralive:stage"] == "dev-ana"
    assert settings.all_tags()["team"] == "x"


def test_long_and_odd_names_stay_apart_within_awss_limits() -> None:
    long = [resource_name("terralive", "orders", f"{'x' * 80}{number}") for number in (1, 2)]
    assert all(len(name) <= 64 for name in long)
    assert long[0] != long[1]
    assert resource_name("t", "a/b") != resource_name("t", "a:b")
    assert resource_name("t", "a/b").startswith("t-a-b-")


def test_functions_are_found_in_modules_and_under_every_key() -> None:
    def resource(name: str, **more: object) -> dict[str, object]:
        return {"mode": "managed", "type": "aws_lambda_function", "name": name, **more}

    keyed = {"index_key": "x", "attributes": {"function_name": "c"}}
    state = {
        "resources": [
            resource(
                "one",
                instances=[
                    {
                        "attributes": {
                            "function_name": "a",
                            "arn": "arn:a",
                            "reserved_concurrent_executions": 5,
                        }
                    }
                ],
            ),
            resource(
                "two",
                instances=[
                    {
                        "index_key": 0,
                        "attributes": {"function_name": "b", "reserved_concurrent_executions": -1},
                    }
                ],
            ),
            resource("three", module='module.m["k"]', instances=[keyed]),
            {
                "mode": "data",
                "type": "aws_lambda_function",
                "name": "seen",
                "instances": [{"attributes": {}}],
            },
        ]
    }
    assert dict(deployed_functions(state)) == {  # type: ignore[arg-type]  # a literal's type is wider than JSON's
        "aws_lambda_function.one": DeployedFunction("a", "arn:a", 5),
        "aws_lambda_function.two[0]": DeployedFunction("b", ""),
        'module.m["k"].aws_lambda_function.three["x"]': DeployedFunction("c", ""),
    }


def test_an_empty_state_holds_nothing() -> None:
    assert list(managed_instances(None)) == []
    assert list(managed_instances({"resources": []})) == []


def test_versions_of_terraform_and_tofu_are_read() -> None:
    assert parse_version('{"terraform_version": "1.12.0-beta1"}') == "1.12.0-beta1"
    assert parse_version("Terraform v1.4.7\non linux_amd64") == "1.4.7"
    assert parse_version("no idea") is None

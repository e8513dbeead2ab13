"""Names of functions in events: no two live functions have the same one."""

from __future__ import annotations

from pathlib import Path

from terralive_workers.function import LocalFunction, with_labels


def function(name: str, region: str, account: str = "111111111111") -> LocalFunction:
    return LocalFunction(
        name=name,
        arn=f"arn:aws:lambda:{region}:{account}:function:{name}",
        address="aws_lambda_function.orders",
        runtime="python3.12",
        handler="app.handler",
        path=Path("/code"),
        python=Path("/python"),
    )


def shown(*functions: LocalFunction) -> list[str]:
    return [item.shown_name for item in with_labels(functions)]


def test_a_function_is_shown_by_its_name() -> None:
    assert shown(function("orders", "eu-west-1"), function("bills", "eu-west-1")) == [
        "orders",
        "bills",
    ]


def test_functions_of_one_name_in_two_regions_are_shown_with_their_regions() -> None:
    assert shown(
        function("orders", "eu-west-1"),
        function("orders", "us-east-1"),
        function("bills", "eu-west-1"),
    ) == ["orders (eu-west-1)", "orders (us-east-1)", "bills"]


def test_functions_of_one_name_in_two_accounts_are_shown_with_their_accounts() -> None:
    assert shown(
        function("orders", "eu-west-1"),
        function("orders", "eu-west-1", "222222222222"),
        function("orders", "us-east-1"),
    ) == [
        "orders (111111111111, eu-west-1)",
        "orders (222222222222, eu-west-1)",
        "orders (us-east-1)",
    ]

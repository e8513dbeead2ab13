from __future__ import annotations

import pytest

from terralive_cli.invoking.finding import KnownFunction, matching, one_of
from terralive_stub.errors import ConfigurationError


def known(name: str, address: str, label: str = "", region: str = "eu-west-1") -> KnownFunction:
    return KnownFunction(name, f"arn:aws:lambda:{region}:1:function:{name}", address, label)


FUNCTIONS = [
    known("shop-dev-api", "aws_lambda_function.api"),
    known("shop-dev-api-admin", "aws_lambda_function.admin"),
    known("shop-dev-worker", 'module.queue["orders"].aws_lambda_function.this'),
    known("shop-dev-job", 'module.queue["jobs"].aws_lambda_function.this'),
]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("shop-dev-api", "shop-dev-api"),
        ("aws_lambda_function.admin", "shop-dev-api-admin"),
        ("arn:aws:lambda:eu-west-1:1:function:shop-dev-job", "shop-dev-job"),
        ("api", "shop-dev-api"),
        ("admin", "shop-dev-api-admin"),
        ("orders", "shop-dev-worker"),
        ("WORK", "shop-dev-worker"),
    ],
)
def test_a_function_is_named_by_its_name_address_or_a_part(wanted: str, name: str) -> None:
    assert one_of(wanted, matching(wanted, FUNCTIONS), FUNCTIONS).name == name


def test_an_ambiguous_part_names_those_that_it_may_be() -> None:
    with pytest.raises(ConfigurationError) as raised:
        one_of("this", matching("this", FUNCTIONS), FUNCTIONS)

    assert raised.value.reference == "function-unclear"
    assert raised.value.message.splitlines()[1:] == [
        'shop-dev-worker  (module.queue["orders"].aws_lambda_function.this)',
        'shop-dev-job  (module.queue["jobs"].aws_lambda_function.this)',
    ]


def test_the_same_name_in_two_regions_is_told_apart_by_the_label() -> None:
    two = [
        known("api", "aws_lambda_function.a", "api (eu-west-1)"),
        known("api", "aws_lambda_function.b", "api (us-east-1)", "us-east-1"),
    ]

    assert len(matching("api", two)) == 2
    assert [found.address for found in matching("api (us-east-1)", two)] == [
        "aws_lambda_function.b"
    ]


def test_an_unknown_name_names_what_there_is() -> None:
    with pytest.raises(ConfigurationError) as raised:
        one_of("billing", matching("billing", FUNCTIONS), FUNCTIONS)

    assert raised.value.reference == "function-unknown"
    assert "shop-dev-worker" in raised.value.message


def test_of_many_functions_some_are_named_and_nothing_deployed_is_said() -> None:
    many = [known(f"f{number}", f"aws_lambda_function.f[{number}]") for number in range(50)]

    with pytest.raises(ConfigurationError, match="and 30 more"):
        one_of("billing", [], many)
    with pytest.raises(ConfigurationError, match="no function of this stage is deployed"):
        one_of("billing", [], [])

"""Names of functions in requests; the module under test names the page."""

from __future__ import annotations

from terralive_sandbox.function_names import FunctionName
from terralive_sandbox.places import Place

HERE = Place("111111111111", "eu-west-1")
ARN = "arn:aws:lambda:us-east-1:222222222222:function:orders"


def arn_of(text: str) -> str | None:
    found = FunctionName.parse(text)
    if found is None:
        return None
    return found.arn(HERE)


def test_a_function_is_named_by_its_name_its_arn_or_a_part_of_it() -> None:
    own = "arn:aws:lambda:eu-west-1:111111111111:function:orders"
    partial = "arn:aws:lambda:eu-west-1:222222222222:function:orders"
    assert arn_of("orders") == own
    assert arn_of("function:orders") == own
    assert arn_of("222222222222:function:orders") == partial
    assert arn_of("222222222222:orders") == partial
    assert arn_of(ARN) == ARN


def test_each_form_may_end_with_a_version_or_an_alias() -> None:
    for name in ("orders", "222222222222:function:orders", ARN):
        for qualifier in ("live", "7", "$LATEST"):
            found = FunctionName.parse(f"{name}:{qualifier}")
            assert found is not None
            assert (found.name, found.qualifier) == ("orders", qualifier)
            assert found.short == f"orders:{qualifier}"
            assert found.arn(HERE).endswith(f":function:orders:{qualifier}")


def test_everything_else_is_no_name() -> None:
    queue = "arn:aws:sqs:us-east-1:222222222222:orders"
    for text in ("", "orders.live", "orders:live:7", "bestellungen-für", f"{ARN}:", queue):
        assert FunctionName.parse(text) is None, text

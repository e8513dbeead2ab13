from __future__ import annotations

from typing import Any

import pytest

from terralive_cli.fallback.boundary import may_invoke

VERSION = "arn:aws:lambda:eu-west-1:123456789012:function:orders:7"


def allow(action: object, resource: object = "*", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: object, resource: object = "*", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {**allow(action, resource, **more), "Effect": "Deny"}


@pytest.mark.parametrize(
    "statements",
    [
        allow("*"),
        [allow("lambda:*", "arn:aws:lambda:*:*:function:orders:*")],
        [allow(["s3:*", "LAMBDA:invokefunction"], ["arn:x", VERSION])],
        [{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}],
        [allow("lambda:InvokeFunction", Condition={"StringEquals": {"aws:RequestedRegion": "x"}})],
        [allow("*"), deny("lambda:*", "arn:aws:lambda:*:*:function:other*")],
        [allow("*"), deny("lambda:*", Condition={"Bool": {"aws:SecureTransport": "false"}})],
    ],
)
def test_a_boundary_may_let_the_role_invoke_the_version(statements: object) -> None:
    document: Any = {"Version": "2012-10-17", "Statement": statements}
    assert may_invoke(document, VERSION)


@pytest.mark.parametrize(
    "statements",
    [
        [],
        [allow(["s3:*", "logs:*"])],
        [allow("lambda:InvokeFunction", "arn:aws:lambda:eu-west-1:123456789012:function:orders")],
        [allow("*"), deny("lambda:Invoke*")],
        [allow("*"), {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:s3:::*"}],
        [{"Effect": "Allow", "NotAction": "lambda:*", "Resource": "*"}],
    ],
)
def test_a_boundary_that_does_not_let_the_role_invoke_the_version(statements: object) -> None:
    document: Any = {"Version": "2012-10-17", "Statement": statements}
    assert not may_invoke(document, VERSION)

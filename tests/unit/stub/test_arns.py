"""The fields of ARNs."""

from __future__ import annotations

import pytest

from terralive_stub.shared.arns import Place, partition_of, place_of

ACCOUNT = "123456789012"


@pytest.mark.parametrize(
    ("arn", "partition", "place"),
    [
        (
            f"arn:aws-cn:lambda:cn-north-1:{ACCOUNT}:function:orders:7",
            "aws-cn",
            Place(ACCOUNT, "cn-north-1"),
        ),
        (f"arn:aws:iam::{ACCOUNT}:role/a:b", "aws", Place(ACCOUNT)),
        ("arn:aws:s3:::bucket", "aws", Place()),
        (f"arn:aws:lambda:eu-west-1:{ACCOUNT}", "", Place()),
        ("orders", "", Place()),
        ("", "", Place()),
        (f"urn:aws:lambda:eu-west-1:{ACCOUNT}:function:orders", "", Place()),
    ],
)
def test_an_arn_names_its_partition_account_and_region(
    arn: str, partition: str, place: Place
) -> None:
    assert partition_of(arn) == partition
    assert place_of(arn) == place

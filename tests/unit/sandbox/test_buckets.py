"""Messages of S3 about changes in a bucket.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any, cast

import pytest

from terralive_sandbox.triggers.buckets import Change, Filter, ambiguous, notification, trial_event
from terralive_testing.oracles.samples import assert_same_shape, sample

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, 678000, dt.UTC)


def change(event: str, key: str = "k") -> Change:
    return Change(event, "b", "eu-west-1", key, NOW, "00AB", "AWS:AIDA", "R", "H")


def test_a_put_is_told_as_in_awss_sample() -> None:
    ours = notification(replace(change("ObjectCreated:Put"), size=3, etag="e", version_id="v"), "c")
    assert_same_shape(ours, sample("s3-object-created-put"))
    assert cast("Any", ours)["Records"][0]["eventTime"] == "2026-01-02T03:04:05.678Z"
    assert_same_shape(trial_event("b", NOW, "R", "H"), sample("s3-test-event"))


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        ("red flower.jpg", "red+flower.jpg"),
        ("a/b/c.txt", "a/b/c.txt"),
        ("é+(1)", "%C3%A9%2B%281%29"),
    ],
)
def test_a_key_is_encoded_like_a_form_but_for_its_slashes(key: str, encoded: str) -> None:
    told: Any = notification(change("ObjectCreated:Put", key), "c")
    assert told["Records"][0]["s3"]["object"]["key"] == encoded


CREATED = ("s3:ObjectCreated:*",)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        # the valid and invalid examples of the page
        (
            [
                Filter(("s3:ObjectCreated:Put",), "images/", "jpg"),
                Filter(("s3:ObjectCreated:Put",), "images/", "png"),
            ],
            False,
        ),
        ([Filter(CREATED, "images"), Filter(CREATED, "logs/")], False),
        ([Filter(CREATED, "", ".jpg"), Filter(CREATED, "", ".png")], False),
        ([Filter(CREATED, "images"), Filter(CREATED)], True),
        ([Filter(CREATED, "", "jpg"), Filter(CREATED, "", "pg")], True),
        ([Filter(CREATED, "images", "jpg"), Filter(CREATED, "", "jpg")], True),
        ([Filter(CREATED), Filter(("s3:ObjectRemoved:*",))], False),
        ([Filter(CREATED), Filter(("s3:ObjectCreated:Put",))], True),
        ([Filter(("s3:ObjectCreated:Copy",)), Filter(("s3:ObjectCreated:Put",))], False),
        ([], False),
    ],
)
def test_two_rules_for_one_change_are_ambiguous(filters: list[Filter], expected: object) -> None:
    assert ambiguous(filters) is expected
    assert ambiguous(filters[::-1]) is expected

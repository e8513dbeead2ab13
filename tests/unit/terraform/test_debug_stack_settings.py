from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from terralive_terraform.debug_stack.configuration import (
    TEMPLATE,
    configuration_hash,
    write_configuration,
)
from terralive_terraform.debug_stack.settings import VARIABLES, DebugStackSettings, ImageReaders

SETTINGS = DebugStackSettings("orders", "dev-ana", "eu-west-1", "ana", "2026-01-01", "0.1.0")


def test_every_variable_of_the_template_has_a_value() -> None:
    declared = json.loads(TEMPLATE.read_text("utf-8"))["variable"]
    assert {name: {"type": kind} for name, kind in VARIABLES.items()} == declared
    assert set(SETTINGS.variables()) == set(declared)


def test_a_stage_accepts_200_messages_a_second_unless_it_is_told_otherwise() -> None:
    values = SETTINGS.variables()
    assert (values["throttle_rate"], values["throttle_burst"]) == (200, 200)
    assert replace(SETTINGS, throttle_rate=500).variables()["throttle_rate"] == 500


def test_a_broker_without_reserved_concurrency_is_written_as_the_provider_does() -> None:
    assert SETTINGS.variables()["broker_concurrency"] == -1
    assert replace(SETTINGS, broker_concurrency=20).variables()["broker_concurrency"] == 20


@pytest.mark.parametrize(
    ("app", "repository"),
    [
        ("orders", "terralive-orders-dev-ana/terralive-stub"),
        ("Orders", "terralive-orders-dev-ana-5a30fe62/terralive-stub"),
        ("orders__x", "terralive-orders-x-dev-ana-15988fda/terralive-stub"),
    ],
)
def test_the_repository_has_a_name_that_ecr_takes(app: str, repository: str) -> None:
    assert replace(SETTINGS, app=app).image_repository() == repository


def test_only_a_stage_with_container_images_has_a_repository() -> None:
    values = SETTINGS.variables()
    assert (values["image_repository"], values["image_policy"]) == (None, None)


def test_lambda_and_the_other_accounts_may_read_the_stubs_image() -> None:
    own = ImageReaders("aws", "111111111111")
    values = replace(SETTINGS, has_images=True, image_readers=own).variables()
    policy = json.loads(str(values["image_policy"]))
    (statement,) = policy["Statement"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert statement["Condition"] == {
        "StringLike": {"aws:sourceArn": ["arn:aws:lambda:eu-west-1:111111111111:function:*"]}
    }
    shared: Any = replace(own, others=("222222222222",)).policy("eu-west-1")
    lambda_, accounts = shared["Statement"]
    assert lambda_["Condition"]["StringLike"]["aws:sourceArn"] == [
        "arn:aws:lambda:eu-west-1:111111111111:function:*",
        "arn:aws:lambda:eu-west-1:222222222222:function:*",
    ]
    assert accounts["Principal"] == {"AWS": ["arn:aws:iam::222222222222:root"]}


@pytest.mark.parametrize(
    ("changes", "beginning"),
    [
        ({}, "terralive-orders-dev-ana-stub-"),
        ({"app": "Orders_X"}, "terralive-orders-x-dev-ana-stub-"),
        ({"name_prefix": "acme--tl"}, "acme-tl-orders-dev-ana-stub-"),
        ({"name_prefix": "-a_"}, "a-orders-dev-ana-stub-"),
        ({"stage": "x" * 80}, "terralive-orders-xx"),
    ],
)
def test_the_bucket_has_a_name_that_s3_takes(changes: dict[str, Any], beginning: str) -> None:
    name = replace(SETTINGS, **changes).stub_bucket()
    assert name.startswith(beginning)
    assert len(name) <= 63
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)


def test_no_two_stages_anywhere_have_a_bucket_of_one_name() -> None:
    """Buckets of all accounts and regions share their names, in lower case only."""
    several = [
        SETTINGS,
        replace(SETTINGS, account="123456789012"),
        replace(SETTINGS, region="us-east-1"),
        replace(SETTINGS, app="Orders"),
        replace(SETTINGS, stage="dev_ana"),
    ]
    assert len({settings.stub_bucket() for settings in several}) == len(several)
    later = replace(SETTINGS, owner="ben", created="2027-01-01", version="0.2.0")
    assert later.stub_bucket() == SETTINGS.stub_bucket()


def test_a_broker_of_any_stage_has_a_name_that_lambda_takes() -> None:
    long = replace(SETTINGS, stage="x" * 80)
    assert len(long.name("connections")) <= 64
    assert long.name("connections").startswith("terralive-orders-xx")
    assert long.name() != replace(long, stage="x" * 81).name()


def test_only_what_terraform_would_change_changes_the_hash_of_a_configuration(
    tmp_path: Path,
) -> None:
    folder = write_configuration(SETTINGS, tmp_path)
    first = configuration_hash(SETTINGS, folder)
    later = replace(SETTINGS, owner="ben", created="2026-12-24")
    assert configuration_hash(later, write_configuration(later, tmp_path)) == first
    other = replace(SETTINGS, throttle_rate=7)
    assert configuration_hash(other, write_configuration(other, tmp_path)) != first
    again = write_configuration(SETTINGS, tmp_path)
    assert configuration_hash(SETTINGS, again) == first
    (zip_file,) = again.glob("*.zip")
    zip_file.write_bytes(b"another broker")
    assert configuration_hash(SETTINGS, again) != first

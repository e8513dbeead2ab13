"""The debug stack's template, and a team's own subclass of `DebugStack`, by the real cdktf."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from terralive_terraform.debug_stack.configuration import TEMPLATE
from terralive_terraform.debug_stack.settings import DebugStackSettings
from terralive_terraform.debug_stack.synth import CustomStack, synthesised, template

SETTINGS = DebugStackSettings("orders", "dev-ana", "eu-west-1", "ana", "2026-01-01", "0.1.0")


def test_the_template_is_what_the_cdktf_code_says() -> None:
    assert TEMPLATE.read_bytes() == template(), "run `make template`, and commit the template"


def test_the_template_is_the_same_for_every_stage(tmp_path: Path) -> None:
    own = CustomStack("terralive_terraform.debug_stack:DebugStack", tmp_path)
    demanding = replace(
        SETTINGS,
        permissions_boundary="arn:aws:iam::123456789012:policy/boundary",
        kms_key="arn:aws:kms:eu-west-1:123456789012:key/1",
        tags={"team": "orders"},
        broker_concurrency=20,
    )
    assert synthesised(own, demanding, tmp_path, os.environ) == TEMPLATE.read_bytes()

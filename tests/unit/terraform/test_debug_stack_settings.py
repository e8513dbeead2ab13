from __future__ import annotations

import json
from dataclasses import replace

from terralive_terraform.debug_stack.configuration import TEMPLATE
from terralive_terraform.debug_stack.settings import VARIABLES, DebugStackSettings

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


def test_a_broker_of_any_stage_has_a_name_that_lambda_takes() -> None:
    long = replace(SETTINGS, stage="x" * 80)
    assert len(long.name("connections")) <= 64
    assert long.name("connections").startswith("terralive-orders-xx")
    assert long.name() != replace(long, stage="x" * 81).name()

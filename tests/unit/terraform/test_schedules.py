"""The schedules of an app are read from its state."""

from __future__ import annotations

from dataclasses import replace

from terralive_stub.shared.json_documents import Json
from terralive_terraform.output.schedules import schedules_in
from terralive_terraform.output.state import ResourceInstance


def test_rules_and_schedules_have_their_expressions() -> None:
    def rule(kind: str, name: str, expression: str) -> ResourceInstance:
        attributes: dict[str, Json] = {"name": name, "schedule_expression": expression}
        return ResourceInstance(f"{kind}.r", kind, attributes)

    old = replace(rule("aws_scheduler_schedule", "old", "rate(1 hour)"), is_deposed=True)
    assert schedules_in(
        [
            rule("aws_cloudwatch_event_rule", "nightly", "cron(0 2 * * ? *)"),
            rule("aws_cloudwatch_event_rule", "orders", ""),
            rule("aws_scheduler_schedule", "often", "rate(5 minutes)"),
            rule("aws_lambda_function", "no", "rate(5 minutes)"),
            old,
        ]
    ) == {"nightly": "cron(0 2 * * ? *)", "often": "rate(5 minutes)"}

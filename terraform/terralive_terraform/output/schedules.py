"""The schedules of an app, which the events that they send do not contain. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from terralive_stub.shared.json_documents import text
from terralive_terraform.output.state import ResourceInstance

# https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/cloudwatch_event_rule
# https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/scheduler_schedule
_TYPES: Final = frozenset({"aws_cloudwatch_event_rule", "aws_scheduler_schedule"})


def schedules_in(instances: Iterable[ResourceInstance]) -> dict[str, str]:
    """Return the expressions of rules and schedules (`rate(5 minutes)`) by their names."""
    found: dict[str, str] = {}
    for instance in instances:
        expression = text(instance.attributes, "schedule_expression")
        if instance.type in _TYPES and expression and not instance.is_deposed:
            found[text(instance.attributes, "name")] = expression
    return found

"""EventBridge Scheduler: schedules fire, with the rights of their role.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule.html
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from moto.scheduler.exceptions import ValidationException
from moto.scheduler.models import EventBridgeSchedulerBackend, Schedule, scheduler_backends

from terralive_sandbox import identity
from terralive_sandbox.identity import ACCOUNT
from terralive_sandbox.triggers import rules, schedules
from terralive_sandbox.triggers.deliveries import Deliveries, Refusal
from terralive_sandbox.triggers.destinations import DestinationError, Role, send

from .errors import not_emulated

_SERVICE = "scheduler.amazonaws.com"
_SIX_TARGET_PARTS = 6


def schedules_are_checked(changed: Callable[[], None]) -> None:
    """In moto any text is a schedule, and none ever fires. `changed` is told of every change."""
    create, update, delete = (
        EventBridgeSchedulerBackend.create_schedule,
        EventBridgeSchedulerBackend.update_schedule,
        EventBridgeSchedulerBackend.delete_schedule,
    )

    def create_schedule(self: EventBridgeSchedulerBackend, **given: Any) -> Schedule:  # noqa: ANN401 - moto's
        self.get_schedule_group(given["group_name"])
        _check(given)
        schedule = create(self, **given)
        changed()
        return schedule

    def update_schedule(self: EventBridgeSchedulerBackend, **given: Any) -> Schedule:  # noqa: ANN401 - moto's
        _check(given)
        schedule = update(self, **{**given, "state": given["state"] or "ENABLED"})
        changed()
        return schedule

    def delete_schedule(self: EventBridgeSchedulerBackend, group_name: str | None, name: str) -> None:
        delete(self, group_name, name)
        changed()

    EventBridgeSchedulerBackend.create_schedule = create_schedule  # type: ignore[assignment,method-assign] # the gap
    EventBridgeSchedulerBackend.update_schedule = update_schedule  # type: ignore[assignment,method-assign] # the gap
    EventBridgeSchedulerBackend.delete_schedule = delete_schedule  # type: ignore[method-assign] # the gap


def lists_are_short() -> None:
    """https://docs.aws.amazon.com/scheduler/latest/APIReference/API_ScheduleSummary.html; moto lists everything."""
    to_dict = Schedule.to_dict
    fields = ("Arn", "CreationDate", "GroupName", "LastModificationDate", "Name", "State", "Target")

    def summary(self: Schedule, short: bool = False) -> dict[str, Any]:  # noqa: FBT002 - moto's signature
        described = to_dict(self, short)
        return {name: described[name] for name in fields} if short else described

    Schedule.to_dict = summary  # type: ignore[method-assign] # the gap


def _check(given: Mapping[str, Any]) -> None:
    try:
        schedules.parse(given["schedule_expression"])
    except schedules.InvalidScheduleError as error:
        raise ValidationException(f"Invalid Schedule Expression {given['schedule_expression']}.") from error
    try:
        ZoneInfo(given["schedule_expression_timezone"] or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValidationException("Invalid Schedule Expression Timezone.") from error
    target = given["target"]
    parts = str(target["Arn"]).split(":")
    if len(parts) < _SIX_TARGET_PARTS or parts[2] not in {"lambda", "sqs", "sns"}:
        raise not_emulated(f"the target {target['Arn']} of EventBridge Scheduler")
    if not identity.trusts(target["RoleArn"], _SERVICE):
        raise ValidationException(
            "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
        )


class Schedules:
    """The schedules that are enabled; keys are their ARNs."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries

    def entries(self) -> Sequence[schedules.Entry]:
        return [
            schedules.Entry(
                schedule.arn, schedule.schedule_expression, schedule.schedule_expression_timezone,
                _moment(schedule.start_date), _moment(schedule.end_date), at_once=True,
            )
            for backend in list(scheduler_backends[ACCOUNT].values())
            for group in backend.schedule_groups.values()
            for schedule in group.schedules.values()
            if schedule.state == "ENABLED"
        ]  # fmt: skip

    def fire(self, entry: schedules.Entry, at: dt.datetime) -> None:
        _, _, _, region, _, path = entry.key.split(":", 5)
        _, group, name = path.split("/")
        schedule = scheduler_backends[ACCOUNT][region].get_schedule(group, name)
        execution = uuid.uuid4().hex[:16]
        text = _payload(schedule, region, at, execution)
        refused = self._send(schedule, text)
        if refused is not None:
            sys.stderr.write(f"{schedule.arn} -> {schedule.target['Arn']}: {refused.message}\n")
            _to_dead_letters(schedule, text, at, execution, refused)
        # Of schedules that repeat, AWS deletes those that have come to their end date too; here they stay.
        if schedule.action_after_completion == "DELETE" and schedule.schedule_expression.startswith("at("):
            scheduler_backends[ACCOUNT][region].delete_schedule(group, name)

    def _send(self, schedule: Schedule, text: str) -> Refusal | None:
        arn, role = schedule.target["Arn"], schedule.target["RoleArn"]
        if arn.split(":")[2] == "lambda":
            try:
                event = json.loads(text)
            except ValueError:
                return Refusal("InvalidRequestContentException", "Could not parse request body into json.")
            return self._deliveries.deliver_as(role, arn, event, schedule.arn)
        try:
            send(Role(role), arn, text, {}, group=schedule.target.get("SqsParameters", {}).get("MessageGroupId"))
        except DestinationError as error:
            return Refusal("AccessDeniedException" if error.code == "NO_PERMISSIONS" else error.code, str(error))
        return None


def _payload(schedule: Schedule, region: str, at: dt.datetime, execution: str) -> str:
    """The target's Input with its keywords filled in; without one, an event whose detail is text.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    """
    text = schedule.target.get("Input")
    if not text:
        event = rules.aws_event(
            "Scheduled Event", "aws.scheduler", event_id=str(uuid.uuid4()), account=ACCOUNT, region=region, time=at,
            resources=[schedule.arn], detail="{}",
        )  # fmt: skip
        return json.dumps(event)
    keywords = {
        "schedule-arn": schedule.arn, "scheduled-time": rules.stamp(at), "execution-id": execution,
        "attempt-number": "1",
    }  # fmt: skip
    for keyword, value in keywords.items():
        text = text.replace(f"<aws.scheduler.{keyword}>", value)
    return str(text)


def _to_dead_letters(schedule: Schedule, text: str, at: dt.datetime, execution: str, refused: Refusal) -> None:
    """https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html."""
    queue = (schedule.target.get("DeadLetterConfig") or {}).get("Arn")
    if queue:
        attributes = {
            "ERROR_CODE": refused.code, "ERROR_MESSAGE": refused.message, "EXECUTION_ID": execution,
            "IS_PAYLOAD_TRUNCATED": "false", "RETRY_ATTEMPTS": "0", "SCHEDULED_TIME": rules.stamp(at),
            "SCHEDULE_ARN": schedule.arn, "TARGET_ARN": schedule.target["Arn"],
        }  # fmt: skip
        try:
            send(Role(schedule.target["RoleArn"]), queue, text, attributes)
        except DestinationError as error:
            sys.stderr.write(f"{schedule.arn}: its dead-letter queue took nothing: {error}\n")


def _moment(given: object) -> dt.datetime | None:
    return dt.datetime.fromtimestamp(float(str(given)), dt.UTC) if given else None

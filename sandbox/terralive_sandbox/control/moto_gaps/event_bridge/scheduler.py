"""EventBridge Scheduler: schedules are checked, and send to functions, queues and topics.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/what-is-scheduler.html
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from moto.core.exceptions import JsonRESTError
from moto.scheduler.exceptions import ValidationException
from moto.scheduler.models import (
    EventBridgeSchedulerBackend,
    Schedule,
    ScheduleGroup,
    scheduler_backends,
)
from moto.scheduler.responses import EventBridgeSchedulerResponse

from terralive_sandbox.control.moto_gaps.errors import api_error, not_emulated
from terralive_sandbox.control.moto_gaps.replacements import Replacements
from terralive_sandbox.functions.destinations import Service
from terralive_sandbox.places import Place
from terralive_sandbox.triggers.deliveries import DESTINATIONS, Deliveries
from terralive_sandbox.triggers.rules.schedules import InvalidScheduleError
from terralive_sandbox.triggers.rules.timetables import Timetable

_PRINCIPAL: Final = "scheduler.amazonaws.com"
# The parameters of a target that the sandbox obeys.
_TARGET_FIELDS: Final = frozenset(
    {"Arn", "RoleArn", "DeadLetterConfig", "RetryPolicy", "Input", "SqsParameters"}
)
# The fields of a schedule in a list of schedules.
_SUMMARY: Final = (
    "Arn",
    "CreationDate",
    "GroupName",
    "LastModificationDate",
    "Name",
    "State",
    "Target",
)
# The sandbox's reason for a target that took nothing -> the name that Scheduler gives.
_ERROR_CODES: Final = {
    "NO_PERMISSIONS": "AccessDeniedException",
    "NO_RESOURCE": "ResourceNotFoundException",
}


def declare(replacements: Replacements, changed: Callable[[], None]) -> None:
    """Declare the replacements.

    Args:
        replacements: the list that gets them.
        changed: called when a schedule may fire sooner than before.
    """
    _replace_schedules(replacements, changed)
    _replace_groups(replacements)


def _replace_schedules(replacements: Replacements, changed: Callable[[], None]) -> None:
    """Check schedules. Moto takes everything, fires nothing, and drops a part of an update.

    https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
    """
    moto_create = EventBridgeSchedulerBackend.create_schedule
    moto_update = EventBridgeSchedulerBackend.update_schedule
    moto_respond_to_update = EventBridgeSchedulerResponse.update_schedule
    moto_to_dict = Schedule.to_dict

    def create_schedule(self: EventBridgeSchedulerBackend, **settings: Any) -> Schedule:
        _check(settings)
        group = self.get_schedule_group(settings["group_name"])
        if settings["name"] in group.schedules:
            raise _exists(f"Schedule {settings['name']}")
        settings["action_after_completion"] = settings["action_after_completion"] or "NONE"
        schedule = moto_create(self, **settings)
        changed()
        return schedule

    def update_schedule(self: EventBridgeSchedulerBackend, **settings: Any) -> Schedule:
        self.get_schedule(settings["group_name"], settings["name"])
        _check(settings)
        settings["state"] = settings["state"] or "ENABLED"
        schedule = moto_update(self, **settings)
        changed()
        return schedule

    def respond_to_update(self: EventBridgeSchedulerResponse) -> str:
        """Answer UpdateSchedule. What the request leaves out has its default, as on AWS."""
        answer = moto_respond_to_update(self)
        name = self.uri.split("?")[0].split("/")[-1]
        schedule = self.scheduler_backend.get_schedule(self._get_param("GroupName"), name)
        schedule.action_after_completion = self._get_param("ActionAfterCompletion") or "NONE"
        return answer

    def to_dict(self: Schedule, short: bool = False) -> dict[str, Any]:  # noqa: FBT002 - moto's signature
        described = moto_to_dict(self, short)
        if short:
            return {name: described[name] for name in _SUMMARY}
        return described

    replacements.replace(Schedule, "to_dict", to_dict)
    replacements.replace(EventBridgeSchedulerBackend, "create_schedule", create_schedule)
    replacements.replace(EventBridgeSchedulerBackend, "update_schedule", update_schedule)
    replacements.replace(EventBridgeSchedulerResponse, "update_schedule", respond_to_update)


def _replace_groups(replacements: Replacements) -> None:
    """Refuse a group that exists, and the deletion of one that does not or that AWS made.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-group.html
    """
    moto_create = EventBridgeSchedulerBackend.create_schedule_group
    moto_delete = EventBridgeSchedulerBackend.delete_schedule_group

    def create_schedule_group(
        self: EventBridgeSchedulerBackend, name: str, tags: list[dict[str, str]] | None
    ) -> ScheduleGroup:
        if name in self.schedule_groups:
            raise _exists(f"Schedule group {name}")
        return moto_create(self, name, tags or [])

    def delete_schedule_group(self: EventBridgeSchedulerBackend, name: str | None) -> None:
        group = self.get_schedule_group(name)
        if group.name == "default":
            raise ValidationException("The default schedule group can not be deleted.")
        moto_delete(self, name)

    replacements.replace(
        EventBridgeSchedulerBackend, "create_schedule_group", create_schedule_group
    )
    replacements.replace(
        EventBridgeSchedulerBackend, "delete_schedule_group", delete_schedule_group
    )


def _exists(what: str) -> JsonRESTError:
    return api_error("ConflictException", f"{what} already exists.", 409)


def _check(settings: Mapping[str, Any]) -> None:
    """Check the settings of a schedule.

    Raises:
        ValidationException: AWS refuses them.
        JsonRESTError: the sandbox does not emulate the target.
    """
    target = settings["target"]
    arn = str(target["Arn"])
    if not arn.startswith(DESTINATIONS):
        raise not_emulated(f"the target {arn} of EventBridge Scheduler")
    unknown = sorted(set(target) - _TARGET_FIELDS)
    if unknown:
        raise not_emulated(f"{', '.join(unknown)} of targets of EventBridge Scheduler")
    zone = settings["schedule_expression_timezone"] or "UTC"
    try:
        Timetable(settings["schedule_expression"], zone).check()
    except InvalidScheduleError as error:
        raise ValidationException(f"Invalid Schedule Expression {error}.") from error
    window = settings["flexible_time_window"] or {}
    if window.get("Mode") == "FLEXIBLE" and not window.get("MaximumWindowInMinutes"):
        raise ValidationException("A flexible time window needs MaximumWindowInMinutes.")
    if arn.startswith("arn:aws:lambda:") and target.get("Input"):
        try:
            json.loads(target["Input"])
        except ValueError as error:
            message = "The Input of a Lambda target has to be well-formed JSON."
            raise ValidationException(message) from error


def enabled_schedules() -> Mapping[str, Timetable]:
    """Return the times of all enabled schedules by their ARNs."""
    return {
        schedule.arn: _timetable(schedule)
        for account in list(scheduler_backends.values())
        for backend in list(account.values())
        for group in backend.schedule_groups.values()
        for schedule in group.schedules.values()
        if schedule.state == "ENABLED"
    }


def _timetable(schedule: Schedule) -> Timetable:
    # Without a start date, a schedule starts with its creation or its last change.
    start = schedule.start_date or schedule.last_modified_date
    end = None
    if schedule.end_date is not None:
        end = _time(schedule.end_date)
    zone = schedule.schedule_expression_timezone
    return Timetable(schedule.schedule_expression, zone, _time(start), end)


def _time(seconds: str | float) -> dt.datetime:
    return dt.datetime.fromtimestamp(float(seconds), dt.UTC)


def fire(deliveries: Deliveries, arn: str, at: dt.datetime) -> None:
    """Send to the target of a schedule, and delete the schedule if it asks for that at its end.

    A flexible time window begins with the schedule's time, and the target gets it then. What the
    target does not take goes to the dead-letter queue at once: another attempt would fail in the
    same way.
    """
    place = Place.of(arn)
    group_name, name = arn.rpartition(":schedule/")[2].split("/")
    backend = scheduler_backends[place.account][place.region]
    schedule = backend.get_schedule(group_name, name)
    target = schedule.target
    sender = Service(_PRINCIPAL, arn, place.account, target["RoleArn"])
    execution = str(uuid.uuid4())
    text = _input(schedule, execution, at)
    group = target.get("SqsParameters", {}).get("MessageGroupId")
    error = deliveries.send(sender, target["Arn"], text, group=group)
    queue = target.get("DeadLetterConfig", {}).get("Arn")
    if error is not None and queue:
        attributes = {
            "ERROR_CODE": _ERROR_CODES.get(error.code, error.code),
            "ERROR_MESSAGE": str(error),
            "EXECUTION_ID": execution,
            "RETRY_ATTEMPTS": "0",
            "SCHEDULED_TIME": _written(at),
            "SCHEDULE_ARN": arn,
            "TARGET_ARN": target["Arn"],
        }
        deliveries.send(sender, queue, text, attributes)
    is_over = _timetable(schedule).next_time(at) is None
    if is_over and schedule.action_after_completion == "DELETE":
        backend.delete_schedule(group_name, name)


def _input(schedule: Schedule, execution: str, at: dt.datetime) -> str:
    """Return the text for the target.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    """
    text: str | None = schedule.target.get("Input")
    if text is None:
        place = Place.of(schedule.arn)
        return json.dumps(
            {
                "version": "0",
                "id": execution,
                "detail-type": "Scheduled Event",
                "source": "aws.scheduler",
                "account": place.account,
                "time": _written(at),
                "region": place.region,
                "resources": [schedule.arn],
                "detail": "{}",
            }
        )
    values = {
        "schedule-arn": schedule.arn,
        "scheduled-time": _written(at),
        "execution-id": execution,
        "attempt-number": "1",
    }
    for name, value in values.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text


def _written(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

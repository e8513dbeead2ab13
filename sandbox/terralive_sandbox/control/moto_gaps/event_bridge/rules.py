"""EventBridge: buses match patterns as AWS does; rules send to functions, queues and topics.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-what-is.html
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import sys
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from moto.events.exceptions import InvalidEventPatternException, ValidationException
from moto.events.models import (
    EventBus,
    EventPattern,
    EventPatternParser,
    EventsBackend,
    Rule,
    events_backends,
)
from moto.events.responses import EventsHandler

from terralive_sandbox.control.moto_gaps.errors import not_emulated, not_emulated_method
from terralive_sandbox.control.moto_gaps.replacements import Replacements
from terralive_sandbox.functions.destinations import DestinationError, Service
from terralive_sandbox.places import Place
from terralive_sandbox.triggers.deliveries import DESTINATIONS, Deliveries
from terralive_sandbox.triggers.event_patterns import patterns
from terralive_sandbox.triggers.rules import events as rules
from terralive_sandbox.triggers.rules import schedules
from terralive_sandbox.triggers.rules.timetables import Timetable

_ENABLED: Final = frozenset({"ENABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"})
_parse = lru_cache(maxsize=1024)(patterns.parse)


def declare(
    replacements: Replacements, deliveries: Deliveries, schedules_changed: Callable[[], None]
) -> None:
    """Declare the replacements.

    Args:
        replacements: the list that gets them.
        deliveries: delivers events to functions, queues and topics.
        schedules_changed: called when a rule may fire sooner than before.
    """
    _replace_patterns(replacements)
    _replace_put_events(replacements, deliveries)
    _replace_put_targets(replacements)
    _replace_schedules(replacements, schedules_changed)
    _replace_what_is_left_out(replacements)


def _replace_patterns(replacements: Replacements) -> None:
    """Parse and match patterns with the sandbox's own module (triggers/event_patterns).

    Moto takes patterns that AWS refuses, and matches some of them wrongly.
    """

    def parse(self: EventPatternParser) -> dict[str, Any]:
        if not self.pattern:
            return {}
        try:
            _parse(self.pattern)
        except patterns.InvalidPatternError as error:
            raise InvalidEventPatternException(reason=str(error)) from error
        parsed: dict[str, Any] = json.loads(self.pattern)
        return parsed

    def test_event_pattern(self: EventsHandler) -> tuple[str, dict[str, Any]]:
        pattern = EventPattern.load(self._get_param("EventPattern"))
        event = json.loads(self._get_param("Event"))
        return self._create_response({"Result": _matches(pattern, event)})

    replacements.replace(EventPatternParser, "parse", parse)
    replacements.replace(EventsHandler, "test_event_pattern", test_event_pattern)


def _matches(pattern: EventPattern, event: Mapping[str, object]) -> bool:
    text = pattern.dump()
    return bool(text) and patterns.matches(_parse(text), event)


def _replace_put_events(replacements: Replacements, deliveries: Deliveries) -> None:
    """Check entries, and send events to the targets of enabled rules.

    Moto takes entries that AWS refuses, sends events to disabled rules too, and sends nothing to
    functions and topics.
    https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
    """

    def put_events(self: EventsBackend, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        _check_number_of_entries(len(events))
        answers: list[dict[str, Any]] = []
        accepted: list[tuple[str, rules.Event]] = []
        for entry in events:
            event_id = str(uuid.uuid4())
            now = dt.datetime.now(dt.UTC)
            try:
                event = rules.event_of(entry, event_id, self.account_id, self.region_name, now)
            except rules.EntryError as error:
                answers.append({"ErrorCode": error.code, "ErrorMessage": error.message})
                continue
            answers.append({"EventId": event_id})
            accepted.append((self._normalize_event_bus_arn(entry.get("EventBusName")), event))
        for bus, event in accepted:
            _publish(deliveries, self.event_buses.get(bus), event)
        return answers

    replacements.replace(EventsBackend, "put_events", put_events)


def _check_number_of_entries(number: int) -> None:
    if 1 <= number <= rules.MOST_ENTRIES:
        return
    bound = (
        f"less than or equal to {rules.MOST_ENTRIES}" if number else "greater than or equal to 1"
    )
    raise ValidationException(
        "1 validation error detected: Value '[PutEventsRequestEntry]' at 'entries' failed to "
        f"satisfy constraint: Member must have length {bound}"
    )


def _publish(deliveries: Deliveries, bus: EventBus | None, event: rules.Event) -> None:
    """Send an event to the rules of a bus. AWS drops events for a bus that does not exist."""
    if bus is None:
        sys.stderr.write(f"an event of {event['source']} is lost: there is no such event bus\n")
        return
    for rule in list(bus.rules.values()):
        if rule.state in _ENABLED and _matches(rule.event_pattern, event):
            _fire(deliveries, rule, event)


def _fire(deliveries: Deliveries, rule: Rule, event: rules.Event) -> None:
    """Send an event to all targets of a rule.

    EventBridge assumes a target's role, and then the role needs permission. It sends to a target
    without a role, and to a dead-letter queue, as itself.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html

    An event that a target does not take goes to the target's dead-letter queue at once, whatever
    its RetryPolicy is: another attempt would fail in the same way.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-event-delivery.html#eb-rule-dlq
    """
    match = rules.RuleMatch(rule.arn, rule.name, dt.datetime.now(dt.UTC))
    sender = Service("events.amazonaws.com", rule.arn, Place.of(rule.arn).account)
    for target in list(rule.targets):
        as_target_says = dataclasses.replace(sender, role=target.get("RoleArn") or "")
        error = _send(deliveries, as_target_says, target, rules.target_input(target, event, match))
        queue = target.get("DeadLetterConfig", {}).get("Arn")
        if error is not None and queue:
            attributes = {
                "RULE_ARN": rule.arn,
                "TARGET_ARN": target["Arn"],
                "ERROR_CODE": error.code,
                "ERROR_MESSAGE": str(error),
                "RETRY_ATTEMPTS": "0",
            }
            deliveries.send(sender, queue, json.dumps(event), attributes)


def _send(
    deliveries: Deliveries, sender: Service, target: Mapping[str, Any], text: str
) -> DestinationError | None:
    arn = str(target["Arn"])
    if arn.startswith("arn:aws:lambda:"):
        try:
            json.loads(text)
        except ValueError:
            rule = sender.source_arn
            sys.stderr.write(f"{rule} made no JSON for {arn} of its input template: {text}\n")
            return DestinationError("The input of the target is not valid JSON.", "INVALID_JSON")
    group = target.get("SqsParameters", {}).get("MessageGroupId")
    return deliveries.send(sender, arn, text, group=group)


def _replace_put_targets(replacements: Replacements) -> None:
    """Refuse targets that the sandbox does not emulate, and those that EventBridge cannot reach.

    Moto takes every ARN and fails when an event comes.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-cross-account.html
    """
    moto_put_targets = EventsBackend.put_targets

    def put_targets(
        self: EventsBackend, name: str, event_bus_arn: str | None, targets: list[dict[str, Any]]
    ) -> None:
        for target in targets:
            arn = target["Arn"]
            if not arn.startswith(DESTINATIONS):
                raise not_emulated(f"the target {arn} of EventBridge rules")
            place = Place.of(arn)
            if place.region != self.region_name:
                raise ValidationException(
                    f"Parameter {arn} is not valid. Reason: Only an event bus can be a target in "
                    "another region."
                )
            if place.account != self.account_id and not target.get("RoleArn"):
                raise ValidationException(
                    f"Parameter {arn} is not valid. Reason: A target in another account needs a "
                    "RoleArn."
                )
        moto_put_targets(self, name, event_bus_arn, targets)

    replacements.replace(EventsBackend, "put_targets", put_targets)


def _replace_schedules(replacements: Replacements, changed: Callable[[], None]) -> None:
    """Check schedules. Moto takes any `cron(…)` and never fires one.

    Args:
        replacements: the list that gets the replacements.
        changed: called when a rule may fire sooner than before.
    """
    moto_put_rule = EventsBackend.put_rule
    moto_enable_rule = EventsBackend.enable_rule

    def put_rule(self: EventsBackend, *args: Any, **kwargs: Any) -> Rule:
        expression = kwargs.get("scheduled_expression")
        if expression:
            try:
                schedules.parse(expression)
            except schedules.InvalidScheduleError as error:
                raise ValidationException("Parameter ScheduleExpression is not valid.") from error
        rule = moto_put_rule(self, *args, **kwargs)
        changed()
        return rule

    def enable_rule(self: EventsBackend, name: str, event_bus_arn: str | None) -> bool:
        exists = moto_enable_rule(self, name, event_bus_arn)
        changed()
        return exists

    replacements.replace(EventsBackend, "put_rule", put_rule)
    replacements.replace(EventsBackend, "enable_rule", enable_rule)


def scheduled_rules() -> Mapping[str, Timetable]:
    """Return the times of the enabled rules that have a schedule, by their ARNs.

    Only rules of default buses can have one.
    """
    found: dict[str, Timetable] = {}
    for account in list(events_backends.values()):
        for backend in list(account.values()):
            for rule in backend.event_buses["default"].rules.values():
                if rule.scheduled_expression and rule.state in _ENABLED:
                    found[rule.arn] = Timetable(rule.scheduled_expression)
    return found


def fire_scheduled(deliveries: Deliveries, rule_arn: str, at: dt.datetime) -> None:
    """Send the scheduled event of a rule to its targets.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html
    """
    place = Place.of(rule_arn)
    bus = events_backends[place.account][place.region].event_buses["default"]
    rule = bus.rules[rule_arn.partition(":rule/")[2]]
    entry = {
        "Source": "aws.events",
        "DetailType": "Scheduled Event",
        "Detail": "{}",
        "Resources": [rule.arn],
    }
    event = rules.event_of(entry, str(uuid.uuid4()), place.account, place.region, at, from_aws=True)
    _fire(deliveries, rule, event)


def _replace_what_is_left_out(replacements: Replacements) -> None:
    """Refuse what moto would take without any effect."""
    archives = not_emulated_method("EventBridge archives and replays")
    destinations = not_emulated_method("EventBridge API destinations")
    replacements.replace(EventsBackend, "create_archive", archives)
    replacements.replace(EventsBackend, "create_api_destination", destinations)

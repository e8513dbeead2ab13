"""EventBridge: buses match as AWS does, rules reach functions, queues and topics, and fire on schedules.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-what-is.html
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

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
from moto.scheduler.models import EventBridgeSchedulerBackend

from terralive_sandbox.access.identity import ACCOUNT
from terralive_sandbox.control.moto_gaps.errors import not_emulated, refusing
from terralive_sandbox.functions.destinations import DestinationError, Service
from terralive_sandbox.triggers.deliveries import Deliveries
from terralive_sandbox.triggers.event_patterns import patterns
from terralive_sandbox.triggers.rules import events as rules
from terralive_sandbox.triggers.rules import schedules

_ENABLED = {"ENABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"}
_TARGETS = ("arn:aws:lambda:", "arn:aws:sqs:", "arn:aws:sns:")
_parse = lru_cache(maxsize=1024)(patterns.parse)


def patterns_match_as_in_aws() -> None:
    """What AWS refuses moto takes, and it matches some patterns wrongly (triggers/event_patterns)."""

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
        pattern, event = (
            EventPattern.load(self._get_param("EventPattern")),
            json.loads(self._get_param("Event")),
        )
        return self._create_response({"Result": _matches(pattern, event)})

    EventPatternParser.parse = parse  # type: ignore[method-assign] # the gap
    EventsHandler.test_event_pattern = test_event_pattern  # type: ignore[assignment,method-assign] # the gap


def _matches(pattern: EventPattern, event: Mapping[str, object]) -> bool:
    text = pattern.dump()
    return bool(text) and patterns.matches(_parse(text), event)


def put_events_reaches_targets(deliveries: Deliveries) -> None:
    """In moto entries that AWS refuses pass, disabled rules get events too, and functions and topics none.

    https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
    """

    def put_events(self: EventsBackend, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not 1 <= len(events) <= rules.ENTRIES:
            bound = (
                f"less than or equal to {rules.ENTRIES}" if events else "greater than or equal to 1"
            )
            raise ValidationException(
                "1 validation error detected: Value '[PutEventsRequestEntry]' at 'entries' failed to satisfy "
                f"constraint: Member must have length {bound}"
            )
        answers: list[dict[str, Any]] = []
        accepted: list[tuple[str, rules.Event]] = []
        for entry in events:
            event_id = str(uuid.uuid4())
            try:
                event = rules.event_of(
                    entry, event_id, self.account_id, self.region_name, dt.datetime.now(dt.UTC)
                )
            except rules.RuleError as error:
                answers.append({"ErrorCode": error.code, "ErrorMessage": error.message})
                continue
            answers.append({"EventId": event_id})
            accepted.append((self._normalize_event_bus_arn(entry.get("EventBusName")), event))
        for bus, event in accepted:
            _publish(deliveries, self.event_buses.get(bus), event)
        return answers

    EventsBackend.put_events = put_events  # type: ignore[method-assign] # the gap


def _publish(deliveries: Deliveries, bus: EventBus | None, event: rules.Event) -> None:
    """A bus that does not exist takes an event like any other, and nobody ever sees it again."""
    if bus is None:
        sys.stderr.write(f"an event of {event['source']} is lost: there is no such event bus\n")
        return
    for rule in list(bus.rules.values()):
        if rule.state in _ENABLED and _matches(rule.event_pattern, event):
            _fire(deliveries, rule, event)


def _fire(deliveries: Deliveries, rule: Rule, event: rules.Event) -> None:
    """Send an event to all targets of a rule."""
    source = rules.Source(rule.arn, rule.name, dt.datetime.now(dt.UTC))
    sender = Service("events.amazonaws.com", rule.arn)
    for target in list(rule.targets):
        refused = _send(deliveries, sender, target, rules.payload(target, event, source))
        queue = target.get("DeadLetterConfig", {}).get("Arn")
        if refused is not None and queue:
            # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-event-delivery.html#eb-rule-dlq:
            # what would fail again is not tried again, whatever RetryPolicy says, and goes there at
            # once.
            attributes = {
                "RULE_ARN": rule.arn, "TARGET_ARN": target["Arn"], "ERROR_CODE": refused.code,
                "ERROR_MESSAGE": str(refused), "RETRY_ATTEMPTS": "0",
            }  # fmt: skip
            deliveries.send(sender, queue, json.dumps(event), attributes)


def _send(
    deliveries: Deliveries, sender: Service, target: Mapping[str, Any], text: str
) -> DestinationError | None:
    arn = str(target["Arn"])
    if arn.startswith("arn:aws:lambda:"):
        try:
            json.loads(text)
        except ValueError:
            sys.stderr.write(
                f"{sender.source_arn} made no JSON for {arn} of its input template: {text}\n"
            )
            return DestinationError("The input of the target is not valid JSON.", "INVALID_JSON")
    return deliveries.send(
        sender, arn, text, group=target.get("SqsParameters", {}).get("MessageGroupId")
    )


def targets_are_checked() -> None:
    """In moto every ARN is a target, and it fails when an event comes."""
    put = EventsBackend.put_targets

    def put_targets(
        self: EventsBackend, name: str, event_bus_arn: str | None, targets: list[dict[str, Any]]
    ) -> None:
        for target in targets:
            if not target["Arn"].startswith(_TARGETS):
                raise not_emulated(f"the target {target['Arn']} of EventBridge rules")
        put(self, name, event_bus_arn, targets)

    EventsBackend.put_targets = put_targets  # type: ignore[method-assign] # the gap


def schedules_are_checked(changed: Callable[[], None]) -> None:
    """In moto any cron(…) is one, and none ever fires.

    `changed` is told of what may fire sooner than before.
    """
    put, enable = EventsBackend.put_rule, EventsBackend.enable_rule

    def put_rule(self: EventsBackend, *args: Any, **kwargs: Any) -> Rule:
        if expression := kwargs.get("scheduled_expression"):
            try:
                schedules.parse(expression)
            except schedules.InvalidScheduleError as error:
                raise ValidationException("Parameter ScheduleExpression is not valid.") from error
        rule = put(self, *args, **kwargs)
        changed()
        return rule

    def enable_rule(self: EventsBackend, name: str, event_bus_arn: str | None) -> bool:
        known = enable(self, name, event_bus_arn)
        changed()
        return known

    EventsBackend.put_rule = put_rule  # type: ignore[method-assign] # the gap
    EventsBackend.enable_rule = enable_rule  # type: ignore[method-assign] # the gap


def scheduled_rules() -> Mapping[str, str]:
    """The rules that fire by a schedule, all of them on default buses: ARN -> expression."""
    return {
        rule.arn: rule.scheduled_expression
        for backend in list(events_backends[ACCOUNT].values())
        for rule in backend.event_buses["default"].rules.values()
        if rule.scheduled_expression and rule.state in _ENABLED
    }


def fire_scheduled(deliveries: Deliveries, rule_arn: str, at: dt.datetime) -> None:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html.

    The event.
    """
    _, _, _, region, _, name = rule_arn.split(":", 5)
    rule = events_backends[ACCOUNT][region].event_buses["default"].rules[name.removeprefix("rule/")]
    event = rules.aws_event(
        "Scheduled Event", "aws.events", event_id=str(uuid.uuid4()), account=ACCOUNT, region=region, time=at,
        resources=[rule.arn], detail={},
    )  # fmt: skip
    _fire(deliveries, rule, event)


def others_say_that_they_are_missing() -> None:
    """What moto would take in, to do nothing with it."""
    EventsBackend.create_archive = refusing("EventBridge archives and replays")  # type: ignore[method-assign] # the gap
    EventsBackend.create_api_destination = refusing("EventBridge API destinations")  # type: ignore[method-assign] # the gap
    scheduler = refusing("EventBridge Scheduler (rules can have a schedule)")
    EventBridgeSchedulerBackend.create_schedule = scheduler  # type: ignore[method-assign] # the gap
    EventBridgeSchedulerBackend.update_schedule = scheduler  # type: ignore[method-assign] # the gap

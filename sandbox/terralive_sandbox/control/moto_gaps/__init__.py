"""The differences between moto and AWS that matter to Terraform and to the data planes.

Each service has a module (Lambda a folder) that declares what replaces moto's methods and names
AWS's page for it. Nothing here copies moto's code. Every method of moto is replaced at most once,
so the order of the services does not matter.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from typing import Final

from moto.awslambda.models import LambdaFunction
from moto.core.config import default_user_config

from terralive_sandbox.control.moto_gaps import (
    dynamodb,
    iam,
    kinesis,
    lambda_,
    logs,
    s3,
    sns,
    sqs,
    stepfunctions,
)
from terralive_sandbox.control.moto_gaps.api_gateway import apigateway, apigatewayv2
from terralive_sandbox.control.moto_gaps.event_bridge import pipes, rules, scheduler
from terralive_sandbox.control.moto_gaps.replacements import Replacements
from terralive_sandbox.triggers.deliveries import Deliveries
from terralive_sandbox.triggers.event_source_mappings.mapping_pollers import MappingPollers
from terralive_sandbox.triggers.rules.timetables import Timetable

_log: Final = logging.getLogger("terralive.sandbox")


def configure() -> None:
    """Let AWS's managed policies exist. Call it before moto has any state.

    Moto leaves these policies out unless it is asked for them.
    """
    default_user_config.setdefault("iam", {})["load_aws_managed_policies"] = True


def declarations(
    deliveries: Deliveries,
    schedules_changed: Callable[[], None],
    pollers: MappingPollers,
    concurrency: int,
    code_link: Callable[[LambdaFunction], str],
) -> list[Callable[[Replacements], None]]:
    """Return one function for each service that declares its replacements, in any order.

    Args:
        deliveries: delivers events and messages of services to functions, queues and topics.
        schedules_changed: called when a rule or schedule may fire sooner than before.
        pollers: run event source mappings.
        concurrency: how many executions an account may have at once in a region.
        code_link: returns the link to a function's code.
    """
    return [
        apigateway.declare,
        apigatewayv2.declare,
        iam.declare,
        logs.declare,
        stepfunctions.declare,
        lambda replacements: dynamodb.declare(replacements, pollers.arrived),
        lambda replacements: rules.declare(replacements, deliveries, schedules_changed),
        lambda replacements: kinesis.declare(replacements, pollers),
        lambda replacements: pipes.declare(replacements, pollers),
        lambda replacements: lambda_.declare(replacements, pollers, concurrency, code_link),
        lambda replacements: scheduler.declare(replacements, schedules_changed),
        lambda replacements: s3.declare(replacements, deliveries),
        lambda replacements: sns.declare(replacements, deliveries),
        lambda replacements: sqs.declare(replacements, pollers.arrived),
    ]


def timetables() -> Mapping[str, Timetable]:
    """Return the times of all rules and schedules that are enabled now, by their ARNs."""
    return {**rules.scheduled_rules(), **scheduler.enabled_schedules()}


def fire(deliveries: Deliveries, arn: str, at: dt.datetime) -> None:
    """Send what a rule or schedule sends at this time."""
    if arn.startswith("arn:aws:scheduler:"):
        scheduler.fire(deliveries, arn, at)
    else:
        rules.fire_scheduled(deliveries, arn, at)


def apply(
    deliveries: Deliveries,
    schedules_changed: Callable[[], None],
    pollers: MappingPollers,
    concurrency: int,
    code_link: Callable[[LambdaFunction], str],
) -> None:
    """Replace all of it. Call it once in a process; `declarations` describes the arguments."""
    replacements = Replacements()
    for declare in declarations(deliveries, schedules_changed, pollers, concurrency, code_link):
        declare(replacements)
    replacements.apply()
    _log.debug("%d attributes of moto replaced", len(replacements.attributes))
